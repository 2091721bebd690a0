"""Does the GPU run at its speed?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine, ThrottleReason

# What slows a card down although it has work; the other reasons are idleness and choices.
_SLOWED: dict[ThrottleReason, str] = {
    "hardware_thermal": "it is too hot (hardware slowdown)",
    "software_thermal": "it is too hot",
    "power_brake": "the power supply has pulled the brake",
    "hardware_slowdown": "the hardware has slowed it down, for heat or power",
    "power_cap": "it has reached its power limit",
}
_LOCKED: dict[ThrottleReason, str] = {
    "application_clocks": "its clocks are set to fixed values",
    "sync_boost": "its clocks are tied to those of other cards",
    "display_clocks": "its clocks are held for the display",
}
_SEE = "nvidia-smi -q -d PERFORMANCE,CLOCK,TEMPERATURE"


def check_clocks(machine: Machine) -> Finding:
    """Read the driver's reasons: slowed is a warning, locked is told."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    told = [gpu for gpu in machine.gpus if gpu.throttle_reasons is not None]
    if not told:
        return CHECK.skip("the driver does not tell")
    for gpu in told:
        reasons = [words for name, words in _SLOWED.items() if name in (gpu.throttle_reasons or ())]
        if reasons:
            return CHECK.warn(
                f"slowed down{_speed(gpu)}",
                f"{describe(gpu, machine)}: {'; '.join(reasons)}. What is measured now is slower than "
                "the card, and may be slower by another factor a minute later.",
                Fix(
                    text="Cool the card, raise its power limit or wait, then measure.",
                    commands=(_SEE,),
                ),
            )
    locked = [
        f"{describe(gpu, machine)}: {words}."
        for gpu in told
        for name, words in _LOCKED.items()
        if name in (gpu.throttle_reasons or ())
    ]
    if locked:
        return CHECK.ok("held by a setting", " ".join(locked))
    idle = all("idle" in (gpu.throttle_reasons or ()) for gpu in told)
    return CHECK.ok("idle; nothing holds it back" if idle else "nothing holds it back")


def _speed(gpu: Gpu) -> str:
    if gpu.sm_clock_hz is None or gpu.sm_clock_max_hz is None:
        return ""
    return f" to {gpu.sm_clock_hz / 1e6:.0f} of {gpu.sm_clock_max_hz / 1e6:.0f} MHz"


CHECK = Check(
    id="clocks",
    title="GPU clocks",
    why="a card that is hot or short of power makes every measurement too slow",
    needs=("gpu",),
    asks=("facts",),
    run=check_clocks,
)
