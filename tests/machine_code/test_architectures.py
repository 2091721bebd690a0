"""The table of architectures says what the machine code says: instruction by instruction, architecture by architecture."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda.nvrtc import compile_source
from tests.machine_code.disassembly import list_instructions
from tests.machine_code.elf import read_cubin
from tests.machine_code.gate import count_opcode, find_compiler
from tests.machine_code.pairs import lines_for
from tests.machine_code.probes import PROBES

SPECIFIC_TARGETS = tuple(f"{c}a" for c in arch.CAPABILITIES if float(c) >= 9)
TARGETS = arch.CAPABILITIES + SPECIFIC_TARGETS


def compile_probe(feature, target):
    """The instructions of a feature's probe for a target; None where it does not compile."""
    compiler = find_compiler(lines_for(target)[-1])
    try:
        code, _ = compile_source(compiler, PROBES[feature].source, feature, target)
    except UnavailableError as error:
        assert "error" in str(error)
        return None
    return read_cubin(code).instructions


def read_target(target):
    """What the machine code for a target says of each feature."""
    codes = {feature: compile_probe(feature, target) for feature in PROBES}
    compiled = {feature: code for feature, code in codes.items() if code is not None}
    instructions = list_instructions(target, list(compiled.values()))
    natives = [
        count_opcode(own, PROBES[feature].opcode) > 0
        for feature, own in zip(compiled, instructions, strict=True)
    ]
    supports = ["native" if native else "emulated" for native in natives]
    return dict.fromkeys(PROBES, "absent") | dict(zip(compiled, supports, strict=True))


@pytest.fixture(scope="module")
def found():
    """Target → feature → what the machine code says of it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(TARGETS, pool.map(read_target, TARGETS), strict=True))


def test_every_feature_has_a_probe():
    assert set(PROBES) == set(arch.FEATURES)


@pytest.mark.slow
@pytest.mark.parametrize("feature", PROBES)
def test_the_table_is_what_the_machine_code_is(feature, found):
    read = {target: found[target][feature] for target in TARGETS}
    is_specific = feature in arch.SPECIFIC
    assert read == {
        target: "absent" if is_specific and target in arch.CAPABILITIES else arch.support(feature, target)
        for target in TARGETS
    }  # fmt: skip
