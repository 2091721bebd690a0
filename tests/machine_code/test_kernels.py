"""The machine code of every kernel is what it is meant to be, on every architecture that it lists."""

import pytest

from qprobe.kernels.cuda.manifest import find_kernels
from tests.machine_code.gate import compile_pairs, judge, spread_pairs, uncovered

KERNELS = find_kernels()


@pytest.fixture(scope="module")
def outcomes(request):
    """Every pair of the kernels that are tested, compiled together: two cores, one disassembly each."""
    chosen = [item.callspec.params["path"] for item in request.session.items
              if item.getparent(pytest.Module) is request.node and hasattr(item, "callspec")]  # fmt: skip
    return compile_pairs([pair for path in dict.fromkeys(chosen) for pair in spread_pairs(path)])


@pytest.mark.slow
@pytest.mark.parametrize("path", KERNELS.values(), ids=KERNELS)
def test_the_machine_code_is_what_the_kernel_says(path, outcomes):
    pairs = spread_pairs(path)
    assert uncovered(path, pairs) == []
    wrong = [f"{pair}: {words}" for pair in pairs for words in judge(pair, outcomes[str(pair)])]
    assert not wrong, "\n" + "\n".join(wrong)
