"""Real documents with small, hostile and missing values, to render."""

from __future__ import annotations

from qprobe.documents.base import Quantity
from qprobe.documents.finding import Diagnosis, Finding, Fix, Verdict
from qprobe.documents.machine import Cpu, Fingerprint, Gpu, Int8SelfTest, Machine, Software
from qprobe.documents.objective import Objective
from qprobe.documents.plan import (
    Alternative,
    Assignment,
    ErrorEstimate,
    GroupPlan,
    GroupPredicted,
    KernelRange,
    Plan,
    PlannedModel,
    Predicted,
    Rejected,
    Section,
)
from qprobe.documents.receipt import LayerReceipt, Receipt, Variant
from qprobe.documents.scheme import SCHEMES
from tests.documents_factory import fingerprint

HOSTILE = "<script>alert(1)</script>\x1b[31m[red]x[/red]\u202e|`**"


def machine(**changes) -> Machine:
    cpu = Cpu(
        model="Some CPU @ 2 GHz",
        architecture="x86_64",
        features=("avx2", "fma"),
        physical_cores=None,
        usable_cores=2,
        last_level_cache_bytes=None,
        memory_bytes=24 * 2**30,
        available_memory_bytes=None,
        copy_bandwidth_bytes_per_s=21.4e9,
        read_bandwidth_bytes_per_s=None,
        int8_self_test=Int8SelfTest(outcome="saturates", worst_relative_error=0.9, words="ran"),
        bf16_speed_ratio=0.37,
    )
    software = Software(
        os="Linux",
        python="3.11.7",
        packages={"torch": "2.13.0"},
        torch=None,
        driver=None,
        cuda_driver=None,
        environment={"ONEDNN_MAX_CPU_ISA": "AVX2"},
    )
    fields = {
        "cpu": cpu,
        "gpus": (),
        "software": software,
        "fingerprints": {"cpu": fingerprint()},
        "unanswered": {"gpus": "NVML Shared Library Not Found"},
    }
    return Machine(**fields | changes)


def gpu(index=0) -> Gpu:
    empty = dict.fromkeys(set(Gpu.model_fields) - {"index", "name"})
    return Gpu(**empty | {"index": index, "name": "Some GPU", "compute_capability": "9.0"})


def finding(status="ok", **changes) -> Finding:
    fields = {"id": status, "title": f"a {status}", "status": status, "summary": f"is {status}"}
    return Finding(**fields | changes)


def diagnosis(*findings: Finding, verdicts=()) -> Diagnosis:
    return Diagnosis(machine=machine(), findings=findings, verdicts=verdicts)


def full_diagnosis() -> Diagnosis:
    """One finding of each status, long and hostile."""
    fix = Fix(text="do this " * 20, commands=("pip install x",), link="https://example.org/x")
    return diagnosis(
        finding("ok", detail="fine because of it"),
        finding("warn", summary="long words " * 20, detail="why\n  indented", fix=fix),
        finding("fail", title=HOSTILE, summary=HOSTILE, detail=HOSTILE, fix=Fix(text=HOSTILE)),
        finding("skip"),
        finding("crash", title="a title that is longer than the column for titles"),
        verdicts=(
            Verdict(
                method="some method",
                device="cpu",
                verdict="not_installed",
                why="it is not there " * 10,
                evidence="rule",
            ),
        ),
    )


def quantity(value: float, provenance="measured", uncertainty=0.05) -> Quantity:
    return Quantity(value=value, provenance=provenance, uncertainty=uncertainty)


def predicted(seconds=4e-3, provenance="measured", error: float | None = 0.0123) -> Predicted:
    estimate = ErrorEstimate(
        metric="last_hidden_state", value=error or 0, method="calibrated", noise_floor=0.003
    )
    return Predicted(
        seconds=quantity(seconds, provenance),
        prefill_seconds=quantity(seconds, provenance),
        decode_seconds_per_token=quantity(0),
        linear_seconds=quantity(seconds * 0.7, provenance),
        rest_seconds=quantity(seconds * 0.3),
        weight_bytes=quantity(86.6 * 2**20, uncertainty=0),
        memory_bytes=quantity(120 * 2**20, "modelled", 0.1),
        error=None if error is None else estimate,
    )


def decision(scheme="W8A8", kernels=(("cpu.onednn_qlinear", 1, None),), reasons=("faster",)):
    return GroupPlan(
        scheme=SCHEMES[scheme],
        algorithm="rtn" if scheme.startswith("W8") else "none",
        kernels=tuple(KernelRange(kernel=k, m_min=low, m_max=high) for k, low, high in kernels),
        reasons=reasons,
        rejected=(Rejected(scheme="W8A16", reasons=("slower by half", "larger too")),),
    )


def group_predicted(weight_bytes: int, error: float | None = 0.004) -> GroupPredicted:
    return GroupPredicted(
        seconds=quantity(1e-3),
        stored_seconds=quantity(2e-3),
        weight_bytes=weight_bytes,
        error=error,
    )


def section(groups: dict[str, GroupPlan], slug="cpu-test", **changes) -> Section:
    fields = {
        "fingerprint": fingerprint(slug),
        "profile_hash": "0",
        "yardstick_s": 3e-3,
        "compute_dtype": "float32",
        "groups": groups,
        "predicted": predicted(),
        "alternatives": (
            Alternative(
                name="NONE", feasible=True, why="1.6 times the time", predicted=predicted()
            ),
            Alternative(name="BF16", feasible=False, why="no such kernel " * 5, predicted=None),
        ),
        "summary": "Quantize every group to W8A8.",
        "warnings": ("the rest is modelled",),
    }
    return Section(**fields | changes)


def plan(layers=3, name="tiny", groups: dict[str, GroupPlan] | None = None, **changes) -> Plan:
    """q, k and v in a group and an output in each layer, and a pooler."""
    assignments = [
        Assignment(
            tensor=f"encoder.layer.{i}.{part}.weight",
            group=f"encoder.layer.{i}.{group}",
            n=64,
            k=64,
        )
        for i in range(layers)
        for part, group in (("q", "qkv"), ("k", "qkv"), ("v", "qkv"), ("out", "out.weight"))
    ]
    assignments.append(Assignment(tensor="pooler.weight", group="pooler.weight", n=64, k=64))
    decisions = {item.group: decision() for item in assignments} | (groups or {})
    fields = {
        "model": PlannedModel(name=name, architecture="Tiny", model_hash="0" * 16, linears=13),
        "objective": Objective(),
        "sensitivity_hash": None,
        "assignments": tuple(assignments),
        "primary": "cpu-test",
        "targets": {"cpu-test": section(decisions)},
    }
    return Plan(**fields | changes)


def variant(name="plan", seconds=0.43, ratio=1.0, error: float | None = 0.0123) -> Variant:
    return Variant(
        name=name,
        median_s=seconds,
        p20_s=seconds * 0.98,
        p80_s=seconds * 1.02,
        samples=20,
        ratio=ratio,
        ratio_low=ratio * 0.97,
        ratio_high=ratio * 1.03,
        weight_bytes=22_000_000,
        error=error,
        predicted_s=seconds * 1.1,
    )


def receipt(**changes) -> Receipt:
    fields = {
        "action": "verified",
        "model": "tiny",
        "plan_hash": "0",
        "fingerprint": fingerprint(),
        "compute_dtype": "float32",
        "changes": (),
        "layers": (
            LayerReceipt(
                tensor="a",
                scheme="W8A8",
                algorithm="rtn",
                kernels=("reference",),
                weight_bytes_before=400,
                weight_bytes_after=100,
                weight_error=0.01,
            ),
        ),
        "weight_bytes_before": 90_800_000,
        "weight_bytes_after": 45_400_000,
        "metric": "last_hidden_state",
        "error": 0.0123,
        "error_limit": 0.05,
        "noise_floor": 0.003,
        "batch": 32,
        "prompt": 128,
        "generate": 0,
        "variants": (variant(), variant("fp32", 0.6, 1.4, None), variant("W8A16 everywhere")),
        "predicted_seconds": quantity(0.4),
        "passed": True,
        "why": "within the limit",
    }
    return Receipt(**fields | changes)


def gpu_fingerprint() -> Fingerprint:
    return fingerprint("h100-sxm5-80gb", "cuda")
