"""How fast are weights read from memory?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

# A single channel of DDR4-2400 gives 19 GB/s; a quarter of that means that something is wrong.
SLOW_BYTES_PER_S = 5e9
EXAMPLE_PARAMETERS = 1e9


def check_bandwidth(machine: Machine) -> Finding:
    """Say what the measured bandwidth means for a model that writes one token at a time."""
    copy, read = machine.cpu.copy_bandwidth_bytes_per_s, machine.cpu.read_bandwidth_bytes_per_s
    if copy is None or read is None:
        words = machine.unanswered.get("cpu.read_bandwidth_bytes_per_s", "")
        return CHECK.skip("not measured", words)
    summary = f"reads {read / 1e9:.1f} GB/s, copies {copy / 1e9:.1f} GB/s"
    tokens = read / EXAMPLE_PARAMETERS
    detail = (
        "Generating a token reads every weight once: a model of a billion parameters writes at most "
        f"{tokens / 2:.3g} tokens a second at 16 bits, {tokens:.3g} at 8, {tokens * 2:.3g} at 4."
    )
    if read >= SLOW_BYTES_PER_S:
        return CHECK.ok(summary, detail)
    return CHECK.warn(
        f"only {summary}",
        detail,
        Fix(
            text="End other programs and leave power saving, then measure again.",
            commands=("qprobe doctor bandwidth",),
        ),
    )


CHECK = Check(
    id="bandwidth",
    title="Memory bandwidth",
    why="it bounds how fast a model can generate, and what fewer bits can gain",
    needs=("torch",),
    asks=("facts", "bandwidth"),
    run=check_bandwidth,
)
