"""The C++ library in the cache: for which processor it was built, and what of it is trusted."""

import pytest

from qprobe.kernels import device
from qprobe.kernels.cpp import _library

CASCADE_LAKE = "avx avx2 f16c fma avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni"
ICE_LAKE = f"{CASCADE_LAKE} avx512ifma avx512vbmi avx512_vbmi2 gfni vaes avx512_bitalg"


@pytest.fixture
def sources():
    return sorted((_library.find_sources() / "cpu").glob("*.cpp"))


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """One that writes a line into what it is told to make."""
    path = tmp_path / "c++"
    path.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo fake 1.0; exit 0; }\n'
        'while [ "$1" != -o ]; do shift; done\necho made > "$2"\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "cache"))


def test_processors_of_different_instructions_have_libraries_of_their_own(
    monkeypatch, sources, compiler
):
    """What matters to products is the same in both, but one cannot run what is built for the other."""
    found, told = set(), set()
    for flags in (CASCADE_LAKE, ICE_LAKE, ICE_LAKE):
        monkeypatch.setattr(device, "_first_processor", lambda _root, flags=flags: {"flags": flags})
        told.add(device.cpu_features())
        found.add(_library._find_or_compile(sources))
    assert len(told) == 1
    assert len(found) == 2
