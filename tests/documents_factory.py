"""Small builders of the documents that planning reads: enough to say in a test what matters to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from qprobe.documents.machine import Fingerprint
from qprobe.documents.model import Linear, Model
from qprobe.documents.objective import ErrorLimit, Objective
from qprobe.documents.profile import (
    Cell,
    KernelFact,
    Measurement,
    Peak,
    Profile,
    Rest,
    Shape,
    Skipped,
)
from qprobe.documents.scheme import SCHEMES
from qprobe.documents.sensitivity import GroupGain, LayerNoise, Sensitivity, UniformError

MODEL_HASH = "0123456789abcdef"
SPEED = dict.fromkeys(SCHEMES, 1.0) | {"W8A8": 2.0}
"""Operations of a scheme by the side of fp32, for profiles that say no more."""


def linear(tensor="w", n=64, k=64, group=None, **changes) -> Linear:
    fields = {
        "dtype": "float32",
        "has_bias": True,
        "kind": "other",
        "rows": "tokens",
        "fusion_group": group or tensor,
    }
    return Linear(tensor=tensor, n=n, k=k, **fields | changes)


def model(linears: Sequence[Linear] | None = None, **changes) -> Model:
    """By default two layers of one block: q, k, v in one group, an output and two feed-forwards."""
    fields = {
        "name": "tiny",
        "architecture": "TinyModel",
        "model_type": "tiny",
        "model_hash": MODEL_HASH,
        "dtype": "float32",
        "linears": tuple(block(0) + block(1) if linears is None else linears),
        "other_elements": 1000,
        "hidden_size": 64,
        "intermediate_size": 256,
        "attention_heads": 4,
        "layers": 2,
        "vocab_size": 100,
        "max_tokens": 8192,
        "kv_elements_per_token": 0,
        "quantization_config": None,
    }
    return Model(**fields | changes)


def block(index: int, hidden=64, intermediate=256, dtype="float32") -> list[Linear]:
    """The linears of one transformer layer, in four groups."""
    name = f"layers.{index}"
    return [
        *(
            linear(f"{name}.{kind}", hidden, hidden, f"{name}.qkv", kind=kind, dtype=dtype)
            for kind in ("query", "key", "value")
        ),
        linear(f"{name}.out", hidden, hidden, kind="attention_output", dtype=dtype),
        linear(f"{name}.up", intermediate, hidden, kind="up", dtype=dtype),
        linear(f"{name}.down", hidden, intermediate, kind="down", dtype=dtype),
    ]


def fingerprint(slug="cpu-test", kind="cpu") -> Fingerprint:
    return Fingerprint(
        slug=slug,
        kind=kind,
        name="Test CPU",
        features=("avx2",),
        units=2,
        memory_bytes=2**34,
        software={"torch": "2.13.0"},
    )


def fact(kernel, schemes, packing=None, **changes) -> KernelFact:
    fields = {"available": True, "reason": ""} | changes
    return KernelFact(kernel=kernel, schemes=schemes, packing=packing or kernel, **fields)


REFERENCE_FACT = fact("reference", tuple(SCHEMES), dequantizes=True)
INT8_FACT = fact("cpu.onednn_qlinear", ("W8A8",), multiplies_codes=True)
BF16_FACT = fact("cpu.onednn_linear", ("NONE", "BF16"))


def measurement(
    scheme, kernel, m, n, k, seconds, dtype="float32", spread=0.0, shared=None
) -> Measurement:
    return Measurement(
        cell=cell(scheme, kernel, m, n, k, dtype),
        median_s=seconds,
        p20_s=seconds * (1 - spread),
        p80_s=seconds * (1 + spread),
        samples=20,
        shared_input_s=shared,
        relative_error=0.0,
    )


def cell(scheme, kernel, m, n, k, dtype="float32") -> Cell:
    return Cell(scheme=scheme, kernel=kernel, activation_dtype=dtype, shape=Shape(m=m, n=n, k=k))


def skipped(scheme, kernel, m, n, k, reason, dtype="float32") -> Skipped:
    return Skipped(cell=cell(scheme, kernel, m, n, k, dtype), reason=reason)


def rest(batch=1, prompt=128, generate=0, dtype="float32", prefill=1e-3, decode=0.0) -> Rest:
    return Rest(
        model_hash=MODEL_HASH,
        batch=batch,
        prompt=prompt,
        generate=generate,
        dtype=dtype,
        prefill_s=prefill,
        decode_s_per_token=decode,
        relative_spread=0.05,
    )


def profile(measurements: Iterable[Measurement] = (), slug="cpu-test", **changes) -> Profile:
    """An empty profile with known peaks, unless changed."""
    fields = {
        "fingerprint": fingerprint(slug),
        "kernel_sources": "0",
        "yardstick_s": 3e-3,
        "keeps_freed_memory": True,
        "threads": 2,
        "copy_bandwidth_bytes_per_s": 20e9,
        "free_memory_bytes": 2**33,
        "peaks": {
            "float32": Peak(ops_per_s=1e11, support="native"),
            "bfloat16": Peak(ops_per_s=2e10, support="emulated"),
            "int8": Peak(ops_per_s=2e11, support="native"),
        },
        "launch_s": 1e-7,
        "kernels": (REFERENCE_FACT, INT8_FACT, BF16_FACT),
        "measurements": tuple(measurements),
        "skipped": (),
        "rest": (),
    }
    return Profile(**fields | changes)


Seconds = Callable[[str, str, str, int, int, int], float | None]
"""(scheme, kernel, dtype, M, N, K) → median seconds; None leaves the cell out."""


def measured_profile(
    of: Model,
    seconds: Seconds,
    rows: Sequence[int] = (1, 32, 128),
    dtypes: Sequence[str] = ("float32",),
    facts: Sequence[KernelFact] = (REFERENCE_FACT, INT8_FACT),
    spread=0.02,
    **changes,
) -> Profile:
    """Every available kernel and scheme measured at every shape of the model and every M."""
    shapes = dict.fromkeys((item.n, item.k) for item in of.linears)
    cells = (
        (scheme, item.kernel, dtype, m, n, k)
        for item in facts
        if item.available
        for scheme in item.schemes
        for dtype in dtypes
        for m in rows
        for n, k in shapes
    )
    found = [
        measurement(scheme, kernel, m, n, k, took, dtype, spread)
        for scheme, kernel, dtype, m, n, k in cells
        if (took := seconds(scheme, kernel, dtype, m, n, k)) is not None
    ]
    entries = changes.pop("rest", tuple(rest(dtype=dtype) for dtype in dtypes))
    return profile(found, kernels=tuple(facts), rest=entries, **changes)


def by_ops(speeds: Mapping[str, float] | None = None, rate=1e11) -> Seconds:
    """Seconds in proportion to the operations; a quantized scheme through the reference at half speed."""
    speeds = SPEED | dict(speeds or {})

    def seconds(scheme, kernel, _dtype, m, n, k):
        halved = SCHEMES[scheme].is_quantized and kernel == "reference"
        return 2 * m * n * k / (rate * speeds[scheme] * (0.5 if halved else 1.0))

    return seconds


NOISES = {
    ("BF16", "none"): 1e-6,
    ("FP16", "none"): 1e-7,
    ("W8A16", "rtn"): 1e-5,
    ("W8A16", "rtn_reduce_range"): 4e-5,
    ("W8A8", "rtn"): 1e-4,
    ("W8A8", "rtn_reduce_range"): 2e-4,
    ("FP8_DYNAMIC", "rtn"): 1e-3,
    **{(name, "mse"): 1e-2 for name in SCHEMES if name.startswith("W4")},
    ("NF4", "rtn"): 1e-2,
}


def sensitivity(
    of: Model,
    noises: Mapping[tuple[str, str], float] | None = None,
    gains: Mapping[str, float | None] | None = None,
    uniform: Sequence[tuple[str, str, float]] = (),
    **changes,
) -> Sensitivity:
    """Equal noise for every layer under a scheme; gains of 1 unless given."""
    noises = NOISES if noises is None else noises
    fields = {
        "model_hash": of.model_hash,
        "method": "calibrated",
        "data_hash": "0",
        "tokens": 1000,
        "metric": "last_hidden_state",
        "noise_floor": 1e-5,
        "layers": tuple(
            LayerNoise(tensor=item.tensor, scheme=scheme, algorithm=algorithm, noise=noise)
            for item in of.linears
            for (scheme, algorithm), noise in noises.items()
        ),
        "gains": tuple(
            GroupGain(group=group, gain=(gains or {}).get(group, 1.0)) for group in of.groups()
        ),
        "uniform": tuple(
            UniformError(scheme=scheme, algorithm=algorithm, compute_dtype=of.dtype, power=power)
            for scheme, algorithm, power in uniform
        ),
    }
    return Sensitivity(**fields | changes)


def objective(**changes) -> Objective:
    """A request of 1 × 128 tokens; `error` is short for a hard limit."""
    error = changes.pop("error", None)
    if error is not None:
        changes["error_limit"] = ErrorLimit(value=error, hard=True)
    return Objective(**changes)
