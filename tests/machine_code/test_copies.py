"""One thread tells the copy engine what to copy, and the compiler knows that it is one."""

import pytest

from qprobe.kernels.cuda.portfolio import all_sources
from tests.machine_code.disassembly import find_loops
from tests.machine_code.gate import compile_pairs, count_opcode
from tests.machine_code.pairs import list_pairs

COPIES = ("UBLKCP", "UTMALDG")
SOURCES = [
    source
    for source in all_sources().values()
    if {"cp_async_bulk", "bulk_multicast"} & set(source.manifest.requires)
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_copy_is_a_loop_over_lanes(source):
    """As the compiler makes one of each, an election at each turn, where it takes all lanes to be there."""
    pairs = [pair for pair in list_pairs(source.path) if pair.build.activation == "float16"]
    targets = {pair.target for pair in pairs}
    for name, outcome in compile_pairs(pairs).items():
        loops = sorted(find_loops(outcome.instructions), key=len)
        copies = [i for i in outcome.instructions if i.opcode.startswith(COPIES)]
        assert copies, name
        for copy in copies:
            innermost = next(loop for loop in loops if copy in loop)
            assert count_opcode(innermost, "ELECT") == 0, name
    assert targets == set(source.manifest.architectures)
