"""The benchmark, the plan and its application on a live card."""

import pytest

from qprobe.bench import _shape, ensure_profile, run_bench
from qprobe.bench._bed import Gpu
from qprobe.bench._gpu import measure_copy
from qprobe.documents.objective import Objective
from qprobe.flow.gpu_state import state_reader
from qprobe.kernels.device import fingerprint
from qprobe.policy import make_plan
from qprobe.probe import probe_machine
from qprobe.timing.cache import cache_folder

DEVICE = "cuda:0"


@pytest.fixture(scope="module")
def machine():
    return probe_machine(bandwidth=False, arithmetic=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Measured anew each time, by kernels that are not compiled anew."""
    kept = cache_folder("cubins").resolve()
    kept.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cubins").symlink_to(kept)
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    monkeypatch.setattr(_shape, "BUDGET_S", 0.2)
    monkeypatch.setattr(_shape, "MAX_COPIES", 4)


def test_a_profile_says_what_the_card_can_do(device, machine):
    profile = run_bench(machine, DEVICE, [(512, 1024)], [1, 64], read_state=state_reader(DEVICE))
    assert profile.fingerprint == fingerprint(DEVICE)
    assert profile.copy_bandwidth_bytes_per_s > 5e10
    # Which is shorter depends on the host: of each only that it is a launch.
    assert 0 < profile.graph_launch_s < 1e-3
    assert 0 < profile.launch_s < 1e-3
    assert {"float32", "float16"} <= set(profile.peaks)
    assert any(name.startswith("peak_") for name in profile.peaks)
    assert profile.conditions is None or profile.conditions.before.sm_clock_hz
    timed = {m.cell.kernel for m in profile.measurements}
    assert "reference" in timed
    assert "cuda.gemv_w4a16" in timed
    for measurement in profile.measurements:
        assert 1e-7 < measurement.median_s < 1e-2
        assert measurement.host_s is not None
    wrong = [s for s in profile.skipped if "wrong numbers" in s.reason]
    assert wrong == []


def test_copies_are_not_faster_than_the_memory(device):
    """What the caches hold would be: H100 and the like copy at some 3 TB/s, nothing at 20."""
    bed = Gpu(DEVICE)
    assert 1e10 < measure_copy(bed) < 2e13


def test_times_are_those_of_the_work(device, machine):
    """Twice the weight takes about twice the time, where memory bounds it."""
    profile = run_bench(machine, DEVICE, [(8192, 8192), (16384, 8192)], [1])
    seconds = {
        m.cell.shape.n: m.median_s
        for m in profile.measurements
        if (m.cell.scheme, m.cell.kernel, m.cell.activation_dtype)
        == ("FP16", "reference", "float16")
    }
    assert 1.6 < seconds[16384] / seconds[8192] < 2.4


def test_a_model_is_planned_applied_and_verified_here(device, machine, tmp_path):
    pytest.importorskip("transformers")
    from qprobe.apply import apply_plan, receipt_of, verify_plan
    from qprobe.checkpoint import read_model
    from qprobe.checkpoint.loading import load_module
    from tests.checkpoints import tiny_bert

    path = tiny_bert(tmp_path / "bert")
    model, asked = read_model(path), Objective(batch=2, prompt=16)
    profile = ensure_profile(model, asked, DEVICE, machine, path=path)
    assert {rest.dtype for rest in profile.rest} == {"float32", "bfloat16", "float16"}
    plan = make_plan(model, profile, asked)
    applied = apply_plan(plan, load_module(path), DEVICE)
    assert all(p.device.type == "cuda" for p in applied.parameters())
    assert receipt_of(applied).changes == ()
    receipt = verify_plan(path, plan)
    assert receipt.fingerprint.kind == "cuda"
    assert receipt.error is not None
    assert all(variant.median_s > 0 for variant in receipt.variants)
