"""Plans from the profile of a GPU, on a machine without one."""

import pytest

from qprobe.documents.machine import Fingerprint
from qprobe.documents.profile import Peak
from qprobe.documents.scheme import SCHEMES
from qprobe.flow.objective import build_objective
from qprobe.policy import make_plan
from qprobe.policy.candidates import compute_dtypes
from qprobe.policy.cells import Cells
from qprobe.policy.timing import GroupClock
from tests.documents_factory import (
    fact,
    linear,
    measurement,
    model,
    objective,
    profile,
    sensitivity,
)

V100 = Fingerprint(
    slug="v100-sxm2-16gb",
    kind="cuda",
    name="Tesla V100-SXM2-16GB",
    features=("sm_70",),
    units=80,
    memory_bytes=16 * 2**30,
    software={"torch": "2.10", "cuda": "12.6"},
)
FACTS = (
    fact("reference", tuple(SCHEMES), "canonical"),
    fact("cuda.gemm_s8_dp4a", ("W8A8",), "cuda_rows_s8"),
    fact("cuda.dequantize_rows", ("W8A8",), "cuda_rows_s8"),
    fact("cuda.gemv_w4a16", ("W4A16",), "cuda_mma_w4"),
    fact("cuda.dequantize_w4", ("W4A16",), "cuda_mma_w4"),
)
MODEL = model([linear("w", 4096, 4096, dtype="float16")], dtype="float16")
PEAKS = {
    "float32": Peak(ops_per_s=14e12, support="native"),
    "float16": Peak(ops_per_s=100e12, support="native"),
    "bfloat16": Peak(ops_per_s=12e12, support="emulated"),
}


def took(scheme, kernel, m, seconds, host=5e-6, dtype="float16"):
    found = measurement(scheme, kernel, m, 4096, 4096, seconds, dtype)
    return found.model_copy(update={"host_s": host})


MEASURED = (
    took("FP16", "reference", 1, 45e-6),
    took("FP16", "reference", 512, 190e-6),
    took("W8A8", "cuda.gemm_s8_dp4a", 1, 24e-6),
    took("W8A8", "cuda.gemm_s8_dp4a", 512, 400e-6),
    took("W8A8", "cuda.dequantize_rows", 1, 130e-6),
    took("W8A8", "cuda.dequantize_rows", 512, 250e-6),
    took("W4A16", "cuda.gemv_w4a16", 1, 13e-6, host=9e-6),
    took("W4A16", "cuda.dequantize_w4", 1, 120e-6),
    took("W4A16", "cuda.dequantize_w4", 512, 240e-6),
)


def volta(measured=MEASURED, **changes):
    return profile(measured, slug="v", fingerprint=V100, kernels=FACTS, peaks=PEAKS,
                   graph_launch_s=1e-6, **changes)  # fmt: skip


def test_a_layer_changes_its_kernel_by_rows_within_one_packing():
    clock = GroupClock(volta(), objective(batch=1, prompt=512, generate=64))
    kernels = ("cuda.dequantize_rows", "cuda.gemm_s8_dp4a")
    found = clock.time(MODEL.linears, "W8A8", kernels, "float16")
    assert [item.kernel for item in found.kernels] == ["cuda.gemm_s8_dp4a", "cuda.dequantize_rows"]
    assert found.kernels[0].m_max == 22  # the geometric mean of 1 and 512
    assert found.prefill.value == pytest.approx(250e-6)
    assert found.decode.value == pytest.approx(24e-6)


@pytest.mark.parametrize(("launch", "seconds"), [("eager", 40e-6), ("graph", 13e-6)])
def test_eager_a_call_takes_the_longer_of_the_gpu_and_the_host(launch, seconds):
    slow_host = [took("W4A16", "cuda.gemv_w4a16", 1, 13e-6, host=40e-6)]
    clock = GroupClock(volta(slow_host), build_objective(prompt=1, launch=launch))
    found = clock.time(MODEL.linears, "W4A16", ("cuda.gemv_w4a16",), "float16")
    assert found.request.value == pytest.approx(seconds)


def test_a_model_stored_in_16_bits_is_as_fast_as_one_that_is_cast_to_them():
    found = Cells(volta(), 0.0).seconds(
        "NONE", "reference", "float16", MEASURED[0].cell.shape, shared_input=False
    )
    assert found.provenance == "measured"
    assert found.value == pytest.approx(45e-6)


@pytest.mark.parametrize(
    ("stored", "emulated", "wanted"),
    [
        ("float16", True, True),
        ("float32", False, True),
        ("bfloat16", True, True),
        ("bfloat16", False, False),
    ],
)
def test_float16_is_tried_where_it_is_measured_and_the_values_fit(stored, emulated, wanted):
    peaks = PEAKS | {"bfloat16": Peak(ops_per_s=1e14, support="emulated" if emulated else "native")}
    dtypes = compute_dtypes(
        model([linear("w", 4096, 4096, dtype=stored)], dtype=stored),
        volta().model_copy(update={"peaks": peaks}),
    )
    assert ("float16" in dtypes) == wanted


def test_the_whole_plan_is_made_without_the_card():
    plan = make_plan(
        MODEL,
        volta(),
        build_objective(prompt=512, generate=128, launch="graph"),
        sensitivity(MODEL),
    )
    section = plan.targets["v100-sxm2-16gb"]
    assert section.fingerprint == V100
    assert section.compute_dtype == "float16"
    (group,) = section.groups.values()
    assert group.scheme.name in ("W8A8", "W4A16")
    assert all(item.kernel.startswith("cuda.") for item in group.kernels)
    assert plan.objective.launch == "graph"
