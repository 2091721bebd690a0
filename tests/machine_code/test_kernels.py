"""The machine code of every kernel is what it is meant to be, on every architecture whose cards are given it."""

import contextlib

import pytest

from qprobe.errors import InputError
from qprobe.kernels.cuda.manifest import find_kernels
from tests.machine_code.gate import compile_pairs, judge
from tests.machine_code.pairs import all_pairs, list_pairs, spread_pairs, without_build

KERNELS = find_kernels()


@pytest.fixture(scope="module")
def outcomes(request):
    """Every pair of the kernels that are tested, compiled together: two cores, one disassembly each."""
    paths = {
        item.callspec.params["path"]
        for item in request.session.items
        if item.getparent(pytest.Module) is request.node
    }
    pairs = []
    for path in sorted(paths):
        with contextlib.suppress(InputError):  # which fails its own test
            pairs += spread_pairs(path)
    return compile_pairs(pairs)


@pytest.mark.slow
@pytest.mark.parametrize("path", KERNELS.values(), ids=KERNELS)
def test_the_machine_code_is_what_the_kernel_says(path, outcomes):
    pairs = spread_pairs(path)
    assert without_build(path) == []
    wrong = [f"{pair}: {words}" for pair in pairs for words in judge(pair, outcomes[str(pair)])]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", KERNELS.values(), ids=KERNELS)
def test_what_is_judged_here_leaves_out_no_architecture_and_no_variant(path):
    """`make machinecode` judges every build on every architecture, which takes minutes."""
    spread, every = spread_pairs(path), all_pairs(path)
    assert set(map(str, spread)) <= set(map(str, every))
    for what in (
        lambda pair: (pair.target, pair.cuda),
        lambda pair: pair.build.name,
    ):
        assert set(map(what, spread)) == set(map(what, every))
    listed = {(pair.build.variant, pair.target, pair.cuda) for pair in list_pairs(path)}
    assert listed <= {(pair.build.variant, pair.target, pair.cuda) for pair in spread}
