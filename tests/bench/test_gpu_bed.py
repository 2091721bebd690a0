"""The way from a GPU to its profile and plan, with the emulator as the card and planted clocks."""

import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from qprobe.bench import _bed, _gpu, _rest, _run, _shape, ensure_profile, run_bench
from qprobe.bench._bed import Gpu
from qprobe.documents.files import load_document, save_document
from qprobe.documents.machine import Fingerprint, GpuState
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Peak, Profile, Shape
from qprobe.errors import CrashError, UnavailableError
from qprobe.kernels import gpus, registry
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.cuda import _ready, driver
from qprobe.kernels.cuda.portfolio import sources_of
from qprobe.kernels.cuda.probes import PeakProbe
from qprobe.kernels.torch_cuda import _operators
from qprobe.policy import make_plan
from qprobe.render.profile import profile_text
from qprobe.timing import yardstick
from tests import documents_factory as factory
from tests.bench import gpu_marks, gpu_products
from tests.bench.gpu_race import measure_cell
from tests.kernels.cuda.emulated import EmulatedDriver
from tests.kernels.torch_cuda.stand_ins import ALL
from tests.render import samples

DEVICE = "cuda:0"
CARD = Fingerprint(
    slug="planted-a100",
    kind="cuda",
    name="Planted A100",
    features=("sm_80",),
    units=4,
    memory_bytes=2**34,
    software={"torch": torch.__version__, "cuda": "13.0"},
)
SHAPES = [(16, 128)]
KERNELS = ("cuda.gemv_w4a16", "cuda.gemm_s8_mma", "cuda.gemm_s8_wgmma", "cuda.int_mm", "cuda.int4pack",
           "reference")  # fmt: skip


def test_a_card_without_memory_has_no_peaks(monkeypatch):
    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpus, "capability_of", lambda _: (9, 0))
    for name in ("randn", "randint"):
        monkeypatch.setattr(torch, name, refuse)
    properties = SimpleNamespace(multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    bed = SimpleNamespace(name=DEVICE, device=torch.device("cpu"), clock=time.perf_counter)
    assert _gpu._measure_products(bed) == {}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose GPU computes in the emulator, at once by its own clock but for the copy."""
    emulated = EmulatedDriver()
    monkeypatch.setattr(driver, "current", lambda: emulated)
    _ready.forget()

    def begin(self, name):
        self.name, self.device, self.clock, self._pool = (
            name,
            torch.device("cpu"),
            time.perf_counter,
            None,
        )

    monkeypatch.setattr(Gpu, "__init__", begin)
    monkeypatch.setattr(Gpu, "cache_bytes", lambda _: 2**12)
    monkeypatch.setattr(Gpu, "memory_bytes", lambda _: 2**30)
    monkeypatch.setattr(Gpu, "active", lambda _: nullcontext())
    for module in (_bed, _gpu):
        monkeypatch.setattr(
            module, "capture", lambda calls, _pool=None: lambda: [c() for c in calls]
        )
        monkeypatch.setattr(module, "host_seconds", lambda calls: (calls[0](), 7e-6)[1])
    monkeypatch.setattr(_bed, "WARM_S", 0.0)
    monkeypatch.setattr(_bed, "GPU_SAMPLE_S", 1e-6)
    monkeypatch.setattr(_bed, "LEAST_CALLS", 1)
    monkeypatch.setattr(_bed, "QUEUED", 1)
    for name, small in (("SIDE", 64), ("LEAST_BYTES", 2**16), ("NODES", 4), ("BUDGET_S", 0.01)):
        monkeypatch.setattr(_gpu, name, small)
    probes = [
        PeakProbe("peak_dp4a", "native", 10, int, str),
        PeakProbe("peak_imma", "native", 10, int, lambda: "peak_imma computes 3, not 4"),
    ]
    monkeypatch.setattr(_gpu, "list_peaks", lambda _: probes)
    for name, small in (("MAX_COPIES", 2), ("MIN_SAMPLES", 2), ("BUDGET_S", 0.01)):
        monkeypatch.setattr(_shape, name, small)
    monkeypatch.setattr(_rest, "BUDGET_S", 0.01)
    monkeypatch.setattr(yardstick, "BUDGET_S", 0.01)
    monkeypatch.setattr(yardstick, "SIDE", 8)
    facts = SimpleNamespace(multi_processor_count=4, name="Planted A100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: facts.name)
    monkeypatch.setattr(gpus, "no_gpu", lambda: "")
    monkeypatch.setattr(gpus, "all_capabilities", lambda: ((8, 0),))
    monkeypatch.setattr(gpus, "capability_of", lambda _: (8, 0))
    for name, stand_in in ALL.items():
        monkeypatch.setattr(_operators, name, stand_in)
    everywhere = {
        name: replace(registry.get_kernel(name), device="any", warm_up=lambda _: None)
        for name in KERNELS
    }
    monkeypatch.setattr(registry, "all_kernels", lambda: everywhere)
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    yield samples.machine().model_copy(update={"fingerprints": {DEVICE: CARD}})
    _ready.forget()


def state(**changes):
    calm = {"sm_clock_hz": 1.4e9, "memory_clock_hz": 1.2e9, "temperature_c": 40, "power_w": 90.0,
            "throttled": (), "other_processes": 0}  # fmt: skip
    return GpuState(**calm | changes)


def test_a_kernel_that_brings_the_card_down_is_named_and_the_next_run_goes_without(
    machine, monkeypatch
):
    emulated, load = driver.current(), EmulatedDriver.load

    def load_one_that_faults(self, source, build, index):
        prepare = load(self, source, build, index)

        def start(run, stream):
            run(stream)
            if source.name == "gemv_w4a16":
                self.fault = "CUDA error: an illegal memory access was encountered"

        return lambda blocks, arguments: partial(start, prepare(blocks, arguments))

    monkeypatch.setattr(EmulatedDriver, "load", load_one_that_faults)
    with pytest.raises(CrashError) as caught:
        run_bench(machine, DEVICE, SHAPES, [1], read_state=state)
    assert "cuda.gemv_w4a16 brought down Emulated: CUDA error: an illegal" in str(caught.value)
    assert "left out from now on" in caught.value.hint
    emulated.fault = ""
    profile = run_bench(machine, DEVICE, SHAPES, [1], read_state=state)
    assert "cuda.gemm_s8_mma" in {m.cell.kernel for m in profile.measurements}
    reasons = {s.cell.kernel: s.reason for s in profile.skipped}
    assert "it brought down Emulated before" in reasons["cuda.gemv_w4a16"]


def test_a_card_that_no_compiler_builds_for_is_measured_by_what_torch_has(machine, monkeypatch):
    def refuse(*_):
        raise UnavailableError("no NVRTC here can build for 13.0", "install a newer one")

    monkeypatch.setattr(EmulatedDriver, "load", refuse)
    monkeypatch.setattr(EmulatedDriver, "find_build_obstacle", lambda *_: "none builds for 13.0")
    profile = run_bench(machine, DEVICE, SHAPES, [1], read_state=state)
    assert profile.copy_bandwidth_bytes_per_s > 0
    assert {"cuda.int_mm", "reference"} <= {m.cell.kernel for m in profile.measurements}


def test_the_profile_of_a_gpu_is_whole(machine, tmp_path):
    states = iter([state(), state(sm_clock_hz=1e9, other_processes=2)])
    profile = run_bench(machine, DEVICE, SHAPES, [1], read_state=lambda: next(states))
    assert profile.fingerprint == CARD
    assert profile.copy_bandwidth_bytes_per_s > 0
    assert {"float32", "float16", "bfloat16", "peak_dp4a"} <= set(profile.peaks)
    assert profile.launch_s == 7e-6
    assert profile.graph_launch_s > 0
    assert len(profile.conditions.remarks) == 2
    kernels = {m.cell.kernel for m in profile.measurements}
    assert kernels == set(KERNELS) - {"cuda.gemm_s8_wgmma"}
    assert {m.cell.activation_dtype for m in profile.measurements} == {
        "float32",
        "bfloat16",
        "float16",
    }
    assert all(m.host_s == 7e-6 for m in profile.measurements)
    assert [s.reason for s in profile.skipped if "wrong numbers" in s.reason] == []
    reasons = {s.cell.kernel: s.reason for s in profile.skipped}
    assert "lacks wgmma" in reasons["cuda.gemm_s8_wgmma"]
    save_document(profile, tmp_path / "profile.json")
    assert load_document(Profile, tmp_path / "profile.json") == profile
    text = profile_text(profile, 200)
    assert "the SM clock fell from 1400 to 1000 MHz" in text
    assert "in a CUDA graph" in text


def test_a_unit_that_computes_wrongly_has_no_rate(machine, caplog):
    profile = run_bench(machine, DEVICE, SHAPES, [1])
    assert "peak_imma" not in profile.peaks
    assert "peak_imma computes 3, not 4: its speed is not measured" in caplog.text


def test_the_roof_of_a_type_is_its_fastest_unit():
    slow, fast = (Peak(ops_per_s=rate, support="native") for rate in (1e14, 2e14))
    emulated = Peak(ops_per_s=1e13, support="emulated")
    peaks = {"int8": slow, "peak_imma": emulated, "peak_wgmma": fast, "bfloat16": fast}
    peaks |= {"peak_wgmma_16 bfloat16": slow, "peak_fp8": emulated, "float32": slow}
    raised = _gpu.raise_to_units(peaks)
    assert raised == peaks | {"int8": fast, "float8_e4m3fn": emulated}


def test_every_unit_that_multiplies_a_type_is_a_probe():
    """Names as `list_peaks` gives them, of every probe but that of 4 bits, which no scheme multiplies."""
    named = {name for units in _gpu.UNITS.values() for name in units}
    known = {
        source.name if build.activation is None else f"{source.name} {build.activation}"
        for source in sources_of("peak")
        for build in source.builds.values()
    }
    assert named == known - {"peak_imma_s4"}


def test_kernels_above_their_rows_are_not_timed(machine):
    profile = run_bench(machine, DEVICE, SHAPES, [9])
    reasons = {s.cell.kernel: s.reason for s in profile.skipped}
    assert reasons["cuda.gemv_w4a16"] == "cuda.gemv_w4a16 is meant for M up to 8"


def test_a_plan_follows_from_the_cache_of_the_gpu(machine):
    model = factory.model([factory.linear("w", 16, 128, dtype="float16")], dtype="float16")
    asked = Objective(prompt=2, launch="graph")
    profile = ensure_profile(model, asked, DEVICE, machine)
    again = ensure_profile(model, asked, DEVICE, machine, measure="never")
    assert again.measurements == profile.measurements
    plan = make_plan(model, profile, asked, factory.sensitivity(model))
    section = plan.targets["planted-a100"]
    assert section.compute_dtype in ("float16", "bfloat16", "float32")
    for group in section.groups.values():
        for item in group.kernels:
            assert item.kernel == "reference" or item.kernel.startswith("cuda.")


def test_states_are_asked_for_under_load(machine):
    bed, order = Gpu(DEVICE), []
    task = bed.yardstick()
    fake = SimpleNamespace(run=lambda _: order.append("work"))
    bed.yardstick = lambda: fake
    bed.clock = lambda: order.append("wait") or 0.0
    assert bed.ask_under_load(lambda: order.append("ask") or "answer") == "answer"
    assert order[-2:] == ["ask", "wait"]
    assert order[-3] == "work"
    assert task is not fake


def test_an_unknown_card_is_refused(machine):
    from qprobe.errors import InputError

    with pytest.raises(InputError, match="knows no device cuda:1"):
        _run.empty_profile(machine, "cuda:1")


def test_int8_products_are_timed_alone_beside_the_layers(machine, monkeypatch):
    monkeypatch.setattr(gpu_marks, "LARGE", 17)
    cell = measure_cell(Shape(m=17, n=32, k=128), Gpu(DEVICE), 0.01, ("W8A8", "W4A16"))
    assert [row.reason for row in (*cell.rows, *cell.products) if row.status == "failed"] == []
    layers = {(row.label, row.dtype): row for row in cell.rows}
    alone = {(row.label, row.dtype): row for row in cell.products}
    ours = [("cuda.gemm_s8_mma", dtype) for dtype in ("bfloat16", "float16")]
    assert set(alone) == {*ours, ("torch._int_mm", "int32")}
    for name in ours:
        assert len(alone[name].seconds) == len(layers[name].seconds)
        assert alone[name].error == layers[name].error
    assert alone["torch._int_mm", "int32"].seconds
    assert alone["torch._int_mm", "int32"].error is None


def test_small_products_are_not_timed_alone(machine):
    cell = measure_cell(Shape(m=17, n=32, k=128), Gpu(DEVICE), 0.01, ("W8A8",))
    assert cell.is_measured
    assert cell.products == ()


def test_products_alone_are_verified_before_they_are_timed(machine, monkeypatch):
    """What gives wrong sums, or drops the scales, has no time."""
    monkeypatch.setattr(gpu_marks, "LARGE", 17)
    right = _operators.int_mm
    monkeypatch.setattr(_operators, "int_mm", lambda x, weight: right(x, weight) + 1)
    monkeypatch.setattr(gpu_products, "quantize", _quantize_without_scales)
    cell = measure_cell(Shape(m=17, n=32, k=128), Gpu(DEVICE), 0.01, ("W8A8",))
    assert len(cell.products) == 3
    for row in cell.products:
        assert row.status == "failed"
        assert row.reason.startswith("wrong numbers: ")
        assert row.seconds == ()


def _quantize_without_scales(x):
    codes, scale = quantize_tokens(x, "int8")
    return codes, torch.ones_like(scale)
