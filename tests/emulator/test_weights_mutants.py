"""Each bug that is put into the kernels for packed weights on purpose is found."""

from __future__ import annotations

import re

import pytest

from qprobe.kernels.cuda.manifest import find_kernels, read_manifest
from tests.emulator.build import compile_all
from tests.emulator.launch import default_capability, find_build
from tests.emulator.sanitized import find_sanitizer, run_each_sanitized, run_sanitized
from tests.emulator.weights_mutants import PLANTED
from tests.emulator.weights_trials import find_fault

PLAIN = [planted for planted in PLANTED if not planted.mutant.sanitized]
SANITIZED = [planted for planted in PLANTED if planted.mutant.sanitized]
TRIED = sorted({(p.mutant.kernel, p.variant, p.activation) for p in PLANTED})


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every mutant's source, compiled two at a time."""
    folder = tmp_path_factory.mktemp("mutants")
    written = {planted: planted.mutant.write(folder / str(i)) for i, planted in enumerate(PLANTED)}
    wanted = []
    for planted in PLAIN:
        path = written[planted]
        build = find_build(read_manifest(path), planted.variant, planted.activation)
        wanted.append((path, build, default_capability(build)))
    compile_all(wanted)
    return written


@pytest.mark.parametrize("planted", PLAIN, ids=str)
def test_found(planted, sources):
    fault = find_fault(sources[planted], planted.variant, planted.activation)
    assert fault
    assert planted.mutant.words in fault


@pytest.fixture(scope="module")
def sanitized(sources):
    """Planted bug → what became of it under the sanitizer."""
    trial = ("-m", "tests.emulator.weights_trials")
    commands = [(*trial, str(sources[p]), p.variant, p.activation) for p in SANITIZED]
    return dict(zip(SANITIZED, run_each_sanitized(commands), strict=True))


@pytest.mark.skipif(find_sanitizer() is None, reason="this compiler came without libasan")
@pytest.mark.parametrize("planted", SANITIZED, ids=str)
def test_found_by_the_sanitizer(planted, sanitized):
    done = sanitized[planted]
    assert "ERROR: AddressSanitizer" in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize(("kernel", "variant", "activation"), TRIED)
def test_nothing_is_found_where_nothing_is_wrong(kernel, variant, activation):
    assert find_fault(find_kernels()[kernel], variant, activation) == ""


@pytest.mark.skipif(find_sanitizer() is None, reason="this compiler came without libasan")
def test_nothing_is_touched_that_is_not_the_kernels_own():
    """Each kernel over awkward shapes, built with the address sanitizer."""
    names = [f"{kernel}-{variant}-{activation}-" for kernel, variant, activation in TRIED]
    done = run_sanitized(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        "tests/emulator/test_weights_products.py",
        "tests/emulator/test_weights_dequantize.py",
        *("-k", f"(any_shape or of_the_definition) and ({' or '.join(names)})"),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= len(TRIED)
