"""The golden vectors' kernel compiles for every architecture that a primitive is said to exist on."""

import shutil
from pathlib import Path

from qprobe.kernels.sources import find_sources
from tests.gpu.primitives import SOURCES
from tests.machine_code.gate import compile_pairs, judge
from tests.machine_code.pairs import list_pairs


def test_every_primitive_compiles_where_it_exists(tmp_path):
    for header in find_sources().glob("*.cuh"):
        shutil.copy(header, tmp_path)
    copies = [Path(shutil.copy(source, tmp_path)) for source in SOURCES]
    pairs = [pair for path in copies for pair in list_pairs(path)]
    made = compile_pairs(pairs, tmp_path / "cache")
    assert [f"{pair}: {words}" for pair in pairs for words in judge(pair, made[str(pair)])] == []
