"""What to use instead of what does not work here, by what was measured beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qprobe.doctor._method import Method
from qprobe.doctor.native import gpu_of
from qprobe.doctor.rules import hardware
from qprobe.doctor.rules.cost import tell_cost
from qprobe.documents.finding import Fix, Verdict
from qprobe.documents.machine import Machine

PLAN = "qprobe plan --model MODEL --device {device}"
FLOAT_BITS = 16
ABOUT = 0.8


def advise(
    verdicts: Sequence[Verdict], methods: Mapping[str, Method], machine: Machine
) -> tuple[Verdict, ...]:
    """The verdicts, with a way out for those that are slow, broken or unsupported and have none."""
    return tuple(
        verdict
        if verdict.fix is not None or verdict.verdict not in ("slow", "broken", "unsupported")
        else verdict.model_copy(update={"fix": _instead(verdict, verdicts, methods, machine)})
        for verdict in verdicts
    )


def _instead(
    verdict: Verdict,
    verdicts: Sequence[Verdict],
    methods: Mapping[str, Method],
    machine: Machine,
) -> Fix:
    method, bits = methods[verdict.method], methods[verdict.method].bits
    beside = [
        other
        for other in verdicts
        if other.device == verdict.device
        and other.verdict in ("fast", "works")
        and other.speeds
        and methods[other.method].in_torch
    ]
    gains = {
        other.method: other.speeds[0].ratio for other in beside if other.speeds[0].ratio_low > 1
    }
    kin = {name: gain for name, gain in gains.items() if methods[name].family == method.family}
    alike = {name: gain for name, gain in gains.items() if methods[name].bits == method.bits}
    plan = PLAN.format(device=verdict.device)
    if pick := kin or alike or gains:
        name = _best(pick)
        m = next(other.speeds[0].m for other in beside if other.method == name)
        return Fix(
            text=f"Use {name} ({methods[name].title}) instead: {pick[name]:.1f} times as fast as "
            f"unquantized at M = {m}, measured here.",
            commands=(plan,),
        )
    if beside:
        return Fix(
            text="Leave the weights in 16 bits: nothing that was tried here is faster.",
            commands=(plan,),
        )
    gpu = gpu_of(machine, verdict.device)
    if gpu is not None and method.feature in hardware.FEATURES:
        feature = hardware.FEATURES[method.feature]
        text = f"Use {feature.instead}. {tell_cost(gpu, feature.schemes)}"
        return Fix(text=text.strip(), commands=(plan,))
    own = "qprobe-w8a16" if bits == 8 else "qprobe-w4a16"
    if verdict.method == own:
        return Fix(text="Nothing was tried beside it.", commands=("qprobe doctor --full",))
    return Fix(
        text=f"Try {own}, which stores {bits} bits and computes in 16: it reads {FLOAT_BITS // bits} "
        f"times fewer bytes, so it is at most {FLOAT_BITS / bits:.1f} times as fast at M = 1 (modelled).",
        commands=(f"qprobe doctor {own} --device {verdict.device}",),
    )


def _best(gains: Mapping[str, float]) -> str:
    """The fastest; qprobe's own, which a plan can apply, where it is about as fast."""
    fastest = max(gains, key=lambda name: gains[name])
    own = {name: gain for name, gain in gains.items() if name.startswith("qprobe-")}
    best = max(own, key=lambda name: own[name], default=fastest)
    return best if gains[best] >= ABOUT * gains[fastest] else fastest
