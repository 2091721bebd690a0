"""The machine code of every kernel is what it is meant to be, on every architecture that it lists."""

import contextlib

import pytest

from qprobe.errors import InputError
from qprobe.kernels.cuda.manifest import find_kernels
from tests.machine_code.gate import compile_pairs, judge, spread_pairs, uncovered

KERNELS = find_kernels()


@pytest.fixture(scope="module")
def outcomes(request):
    """Every pair of the kernels that are tested, compiled together: two cores, one disassembly each."""
    items = [
        item for item in request.session.items if item.getparent(pytest.Module) is request.node
    ]
    pairs = []
    for item in items:
        with contextlib.suppress(InputError):  # which fails its own test
            pairs += spread_pairs(item.callspec.params["path"])
    return compile_pairs(pairs)


@pytest.mark.slow
@pytest.mark.parametrize("path", KERNELS.values(), ids=KERNELS)
def test_the_machine_code_is_what_the_kernel_says(path, outcomes):
    pairs = spread_pairs(path)
    assert uncovered(path, pairs) == []
    wrong = [f"{pair}: {words}" for pair in pairs for words in judge(pair, outcomes[str(pair)])]
    assert not wrong, "\n" + "\n".join(wrong)
