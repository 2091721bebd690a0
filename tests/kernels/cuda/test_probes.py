"""Probes through their launcher: on the emulator they run, whatever their speed."""

import ctypes

import pytest
import torch

from qprobe.kernels.cuda import probes
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.portfolio import sources_of

CPU = torch.device("cpu")


def test_the_copy_copies(emulated):
    source = torch.randint(0, 255, (5000 * 16,), dtype=torch.uint8)
    target = torch.zeros_like(source)
    probes.copy_on(source, target)
    assert torch.equal(source, target)


@pytest.mark.parametrize(
    ("capability", "units"),
    [
        ("6.0", {}),
        ("6.1", {"peak_dp4a": "native"}),
        ("7.5", {"peak_dp4a": "native", "peak_imma": "native", "peak_imma_s4": "native",
                 "peak_hmma float16": "native"}),
        ("8.9", {"peak_dp4a": "native", "peak_imma": "native", "peak_imma_s4": "native",
                 "peak_hmma float16": "native", "peak_hmma bfloat16": "native", "peak_fp8": "native"}),
        ("9.0", {"peak_dp4a": "native", "peak_imma": "native", "peak_imma_s4": "emulated",
                 "peak_hmma float16": "native", "peak_hmma bfloat16": "native",
                 "peak_fp8": "emulated", "peak_wgmma": "native", "peak_wgmma_16 float16": "native",
                 "peak_wgmma_16 bfloat16": "native", "peak_wgmma_fp8": "native"}),
    ],
)  # fmt: skip
def test_each_card_has_the_probes_of_its_units(emulated, monkeypatch, capability, units):
    emulated.card = Card(0, "Emulated", capability, 1)
    monkeypatch.setattr(type(emulated), "load", lambda *_: lambda *_: lambda _: None)
    found = probes.list_peaks(CPU)
    assert {probe.name: probe.support for probe in found} == units
    absent = probes.absent_peaks(CPU)
    assert {name.split()[0] for name in units} | set(absent) == {s.name for s in sources_of("peak")}
    assert not set(absent) & {name.split()[0] for name in units}
    assert all(f"capability {capability} has no " in words for words in absent.values())


def test_they_run_and_know_how_much_they_compute(emulated, monkeypatch):
    monkeypatch.setattr(probes, "ITERATIONS", 2)
    monkeypatch.setattr(probes, "BLOCKS_PER_SM", 1)
    emulated.card = Card(0, "Emulated", "8.0", 2)
    found = {probe.name: probe for probe in probes.list_peaks(CPU)}
    found["peak_dp4a"].run()
    (source,) = (source for source in sources_of("peak") if source.name == "peak_dp4a")
    tile = source.manifest.tile
    assert found["peak_dp4a"].ops == 2 * tile.m * tile.n * tile.k * 2 * 2
    assert emulated.launched == [("peak_dp4a", "", (2, 1, 1))]


def test_a_unit_without_a_compiler_says_so(emulated, monkeypatch):
    monkeypatch.setattr(type(emulated), "find_build_obstacle", lambda *_: "no NVRTC")
    assert probes.absent_peaks(CPU)["peak_dp4a"] == "no NVRTC"


@pytest.mark.parametrize("capability", ["7.5", "8.9", "9.0"])
def test_every_answer_is_compared_with_what_is_known(emulated, monkeypatch, capability):
    monkeypatch.setattr(probes, "BLOCKS_PER_SM", 1)
    emulated.card = Card(0, "Emulated", capability, 2)
    found = probes.list_peaks(CPU)
    assert found
    assert {probe.name: probe.find_fault() for probe in found} == {p.name: "" for p in found}


def test_a_unit_that_computes_something_else_is_found_out(emulated, monkeypatch):
    def load(_self, source, _name, _index):
        def spoil(arguments):
            place = ctypes.cast(arguments, ctypes.POINTER(ctypes.c_void_p))[0]
            where = ctypes.cast(place, ctypes.POINTER(ctypes.c_void_p))[0]
            ctypes.cast(where, ctypes.POINTER(ctypes.c_int32))[7] += 5

        def prepare(blocks, arguments):
            start = kept(emulated, source, "", 0)(blocks, arguments)
            return lambda stream: (start(stream), spoil(arguments))

        return prepare

    kept = type(emulated).load
    monkeypatch.setattr(probes, "BLOCKS_PER_SM", 1)
    monkeypatch.setattr(type(emulated), "load", load)
    emulated.card = Card(0, "Emulated", "6.1", 1)
    (probe,) = probes.list_peaks(CPU)
    assert "peak_dp4a computes " in probe.find_fault()
    assert "in 1 of 256 threads, not " in probe.find_fault()
