"""Is there memory to load a model?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._limits import GIB, within_limit
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

LEAST_BYTES = 2 * GIB  # torch itself and a model of some 100 million parameters


def check_memory(machine: Machine) -> Finding:
    """Compare what is available with what little is needed."""
    available = within_limit(machine, machine.cpu.available_memory_bytes)
    total = within_limit(machine, machine.cpu.memory_bytes)
    if available is None or total is None:
        return CHECK.skip("unknown", machine.unanswered.get("cpu.available_memory_bytes", ""))
    is_limited = total == (machine.host.memory_limit_bytes if machine.host else None)
    whose = ", which is the limit" if is_limited else ""
    summary = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available{whose}"
    if available >= LEAST_BYTES:
        return CHECK.ok(
            summary,
            f"Room for some {available / 2 / 1e9:.1f} billion parameters at 16 bits, "
            f"{available / 1e9:.1f} at 8, less what the activations take.",
        )
    return CHECK.warn(
        summary,
        "Loading a model may end the process without a word.",
        Fix(text="End other programs, or raise the memory limit of the container."),
    )


CHECK = Check(
    id="memory",
    title="Memory",
    why="a model that does not fit is killed by the system while it loads",
    needs=(),
    asks=(),
    run=check_memory,
)
