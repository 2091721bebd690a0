"""What does the GPU multiply in hardware, and what is to be used where it does not?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe_kind, device_of, kinds, lacks_tensor_cores
from qprobe.doctor.rules.cost import tell_cost
from qprobe.doctor.rules.hardware import FEATURES, How, how, native_on
from qprobe.documents import arch
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine

_SHORT = {"fp16": "float16", "bf16": "bfloat16", "fp8": "float8", "fp4": "float4"}
_INT_MM = "https://github.com/pytorch/pytorch/issues/187094"


def check_gpu_arithmetic(machine: Machine) -> Finding:
    """Name what each kind of card has; warn where a number or successors promise what is not there."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    groups = kinds(machine.gpus)
    judged = [_judge(group[0], describe_kind(group, machine)) for group in groups]
    if len(judged) == 1:
        return judged[0]
    told = [
        f"{describe_kind(group, machine)}: {finding.summary}.\n{finding.detail}"
        for group, finding in zip(groups, judged, strict=True)
    ]
    detail = "\n".join(told)
    for group, finding in zip(groups, judged, strict=True):
        if finding.fix is not None:
            return CHECK.warn(f"GPU {group[0].index}: {finding.summary}", detail, finding.fix)
    if all(finding.status == "skip" for finding in judged):
        return CHECK.skip("unknown of every card", detail)
    return CHECK.ok(f"differs between {len(groups)} kinds of cards", detail)


def _judge(gpu: Gpu, card: str) -> Finding:
    if gpu.compute_capability is None:
        return CHECK.skip("unknown", "The driver does not tell the compute capability.")
    known = {feature: how(feature, gpu) for feature in FEATURES}
    if None in known.values():
        return CHECK.skip(
            f"compute capability {gpu.compute_capability} is not in the table",
            "What it computes in hardware shows when it is measured; nothing is modelled of it.",
        )
    detail = "\n".join(_lines(gpu, known))
    if lacks_tensor_cores(gpu):
        return CHECK.warn(
            "no tensor cores, whatever 7.5 promises",
            f"{card} reports compute capability 7.5, by which libraries expect tensor cores; this "
            f"chip has none.\n{detail}",
            _measure(gpu),
        )
    if known["int8"] == "slow":
        return CHECK.warn(
            "int8 runs on the instructions of older cards",
            f"{card}: the int8 rate that its family had is gone; torch._int_mm was seen 6 to 13 times "
            f"slower than tf32 on this chip ({_INT_MM}). Use float8 or float4 products, or weights "
            f"alone in few bits, never int8 products.\n{detail}",
            _measure(gpu, _INT_MM),
        )
    return CHECK.ok(_summary(known, gpu), detail)


def _measure(gpu: Gpu, link: str | None = None) -> Fix:
    return Fix(
        text="Measure which scheme is fast; qprobe's plans go by time, not by bits.",
        commands=(f"qprobe bench --device {device_of(gpu)}",),
        link=link,
    )


def _summary(known: dict[str, How | None], gpu: Gpu) -> str:
    have = [_SHORT.get(name, name) for name, answer in known.items() if answer == "native"]
    if have:
        return f"tensor cores: {', '.join(have)}"
    return "no tensor cores" + ("; int8 by dp4a" if _has_dp4a(gpu) else "")


def _has_dp4a(gpu: Gpu) -> bool:
    return arch.support("dp4a", gpu.compute_capability or "", gpu.name) == "native"


def _lines(gpu: Gpu, known: dict[str, How | None]) -> list[str]:
    """A line for each thing that the card lacks, who has it and what to use; then what that would cost."""
    lacking = [name for name, answer in known.items() if answer == "absent"]
    sentences = [
        f"No {FEATURES[name].words}, native {_on(native_on(name, gpu))}; use {FEATURES[name].instead}."
        for name in lacking
    ]
    if "int8" in lacking and _has_dp4a(gpu):
        sentences.append(
            "int8 products run by dp4a on the plain cores, "
            + (
                "faster than float32: W8A8 is worth measuring."
                if "fp16" in lacking
                else "slower than float16's on tensor cores beyond some 16 to 32 rows."
            )
        )
    schemes = dict.fromkeys(scheme for name in lacking for scheme in FEATURES[name].schemes)
    cost = tell_cost(gpu, tuple(schemes))
    return [*sentences, cost] if cost else sentences


def _on(where: str) -> str:
    return where if where.startswith("from") else f"on {where}"


CHECK = Check(
    id="gpu-arithmetic",
    title="GPU arithmetic",
    why="it decides which schemes can be fast, and more is not later: int4 ends with Ada",
    needs=("gpu",),
    asks=("facts",),
    run=check_gpu_arithmetic,
)
