"""What a GPU was like while it was measured, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qprobe.documents.machine import GpuState
from qprobe.documents.profile import Conditions

ReadState = Callable[[], GpuState | None]
FALLEN = 0.95
"""A clock below this share of what it was has fallen, not fluctuated."""


def judge(before: GpuState, after: GpuState) -> Conditions:
    """The state under load before the measurements and after them, with a sentence for each concern."""
    return Conditions(before=before, after=after, remarks=tuple(_remarks(before, after)))


def _remarks(before: GpuState, after: GpuState) -> Iterator[str]:
    clocks = (
        ("SM", before.sm_clock_hz, after.sm_clock_hz),
        ("memory", before.memory_clock_hz, after.memory_clock_hz),
    )
    for name, was, now in clocks:
        if was and now and now < FALLEN * was:
            yield (
                f"the {name} clock fell from {was / 1e6:.0f} to {now / 1e6:.0f} MHz: "
                "what was measured late is slower than what was measured early"
            )
    reasons = dict.fromkeys((*(before.throttled or ()), *(after.throttled or ())))
    if reasons:
        yield f"clocks were held down under load: {', '.join(reasons)}"
    others = max(before.other_processes or 0, after.other_processes or 0)
    if others:
        verb = "process" if others == 1 else "processes"
        yield f"{others} other {verb} had work on this GPU: times include waiting for it"
