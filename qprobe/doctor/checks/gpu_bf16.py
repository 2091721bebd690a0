"""Is bf16 native on the GPU, or emulated?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe_kind, kinds
from qprobe.doctor.rules.hardware import how, lacks
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine

_SLOW_IN_FLOAT16 = ("6.1", "6.2")  # 1/64 of the rate of float32


def check_gpu_bf16(machine: Machine) -> Finding:
    """Look the cards up; torch says yes to bf16 on all of them."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    emulated = kinds(gpu for gpu in machine.gpus if lacks("bf16", gpu))
    if not emulated:
        known = [gpu for gpu in machine.gpus if how("bf16", gpu)]
        return CHECK.ok("native") if known else CHECK.skip("unknown for this card")
    names = [describe_kind(group, machine) for group in emulated]
    ways = [_instead(group[0]) for group in emulated]
    text = (
        ways[0]
        if len(set(ways)) == 1
        else "\n".join(f"{name}: {way}" for name, way in zip(names, ways, strict=True))
    )
    return CHECK.warn(
        "emulated: convert and compute in float32",
        f"There are no bf16 instructions on {' and '.join(names)}; they begin with 8.0. "
        "torch.cuda.is_bf16_supported() says True all the same, since it counts the emulation.",
        Fix(
            text=text,
            link="https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_bf16_supported.html",
        ),
    )


def _instead(gpu: Gpu) -> str:
    better = "float32" if gpu.compute_capability in _SLOW_IN_FLOAT16 else "float16"
    overflow = (
        " Models that were trained in bf16 may overflow there: watch for NaN and for answers of one "
        "repeated token."
        if better == "float16"
        else ""
    )
    return f"Load models in {better}: from_pretrained(..., dtype=torch.{better}).{overflow}"


CHECK = Check(
    id="gpu-bf16",
    title="bf16 on the GPU",
    why="most models are stored in bf16, and on older cards it is slow without a word",
    needs=("gpu",),
    asks=("facts",),
    run=check_gpu_bf16,
)
