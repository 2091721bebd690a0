"""Is bf16 native on this CPU, or emulated and slower than fp32?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import runs_on_gpu
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine


def check_bf16(machine: Machine) -> Finding:
    """Read the measured speed of a bf16 product over the same in fp32; 5 % is noise."""
    ratio = machine.cpu.bf16_speed_ratio
    if ratio is None:
        return CHECK.skip("not measured", machine.unanswered.get("cpu.bf16_speed_ratio", ""))
    if ratio >= 1.05:
        return CHECK.ok(f"{ratio:.1f} times as fast as fp32")
    if ratio >= 0.95:
        return CHECK.ok("as fast as fp32", "Casting to bf16 halves the memory, not the time.")
    summary = f"emulated: casting to bf16 is {1 / ratio:.1f} times slower"
    detail = (
        "A matrix product in bf16 was timed beside the same in fp32. Models that are stored in bf16 "
        "run slowly on this CPU as they are."
    )
    if runs_on_gpu(machine):
        return CHECK.ok(summary, detail)
    return CHECK.warn(
        summary,
        detail,
        Fix(
            text="Keep fp32, or load the model in fp32 if it is stored in bf16: "
            "from_pretrained(..., dtype=torch.float32). qprobe's plans do so where it is faster."
        ),
    )


CHECK = Check(
    id="bf16",
    title="bf16 on the CPU",
    why="a cast to bf16 is the simplest plan, and a trap where bf16 is emulated",
    needs=("torch",),
    asks=("facts", "bf16"),
    run=check_bf16,
)
