"""Every kernel once more, built with the address sanitizer: nothing is read or written that is not its own."""

import pytest

from tests.emulator.sanitized import find_sanitizer, run_sanitized

TESTS = "exact or as_the_reference or everything_is_copied or known_answer"
"""Of the tests of this folder, those that run all kernels over awkward shapes."""


@pytest.mark.skipif(find_sanitizer() is None, reason="this compiler came without libasan")
def test_nothing_is_touched_that_is_not_the_kernels_own():
    done = run_sanitized(
        "-m", "pytest", "-q", "tests/emulator", "-k", f"({TESTS}) and not sanitized"
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
