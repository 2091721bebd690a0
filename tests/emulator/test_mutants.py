"""Every bug that is put into a kernel is found, so that a kernel in which none is found may be trusted."""

import pytest

from qprobe.kernels.cuda.manifest import find_kernels
from tests.emulator.build import compile_all
from tests.emulator.launch import default_capability
from tests.emulator.mutants import MUTANTS, Mutant
from tests.emulator.sanitized import find_sanitizer, run_each_sanitized
from tests.emulator.trials import find_fault, last_build

PLAIN = [mutant for mutant in MUTANTS if not mutant.sanitized]
SANITIZED = [mutant for mutant in MUTANTS if mutant.sanitized]


def name(mutant):
    return f"{mutant.kernel}: {mutant.bug}"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every mutant's source, compiled two at a time."""
    folder = tmp_path_factory.mktemp("mutants")
    written = {mutant: mutant.write(folder / str(i)) for i, mutant in enumerate(MUTANTS)}
    tried = [(written[mutant], last_build(written[mutant])) for mutant in PLAIN]
    compile_all([(path, build, default_capability(build)) for path, build in tried])
    return written


@pytest.mark.parametrize("mutant", PLAIN, ids=name)
def test_found(mutant, sources):
    path = sources[mutant]
    fault = find_fault(path, last_build(path))
    assert fault
    assert mutant.words in fault


@pytest.fixture(scope="module")
def sanitized(sources):
    """Mutant → what became of it under the sanitizer."""
    commands = [("-m", "tests.emulator.sanitized", str(sources[mutant])) for mutant in SANITIZED]
    return dict(zip(SANITIZED, run_each_sanitized(commands), strict=True))


@pytest.mark.skipif(find_sanitizer() is None, reason="this compiler came without libasan")
@pytest.mark.parametrize("mutant", SANITIZED, ids=name)
def test_found_by_the_sanitizer(mutant, sanitized):
    done = sanitized[mutant]
    words = ("ERROR: AddressSanitizer", "runtime error: index")
    assert any(each in done.stderr for each in words), done.stdout + done.stderr


@pytest.mark.parametrize("kernel", sorted({mutant.kernel for mutant in MUTANTS}))
def test_nothing_is_found_where_nothing_is_wrong(kernel):
    path = find_kernels()[kernel]
    assert find_fault(path, last_build(path)) == ""


def test_a_mutant_whose_text_is_gone_is_an_error(tmp_path):
    gone = Mutant("copy", "none", "no such text", "")
    with pytest.raises(AssertionError, match="has no 'no such text'"):
        gone.write(tmp_path)


def test_a_source_that_does_not_compile_is_an_error(tmp_path):
    path = Mutant("copy", "none", "QP_KERNEL", "QP_KERNAL").write(tmp_path)
    assert "does not compile" in find_fault(path, last_build(path))
