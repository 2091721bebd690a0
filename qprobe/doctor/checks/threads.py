"""Does torch use as many threads as there are cores?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._limits import usable_cores
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine


def check_threads(machine: Machine) -> Finding:
    """Compare torch's threads with the cores that affinity, quota and hyper-threading leave."""
    torch, cpu = machine.software.torch, machine.cpu
    if torch is None:
        return CHECK.skip("unknown without torch")
    usable = usable_cores(machine)
    # Two threads of one core share its arithmetic units, so fewer threads than that are enough.
    enough = min(usable, cpu.physical_cores or usable)
    threads = f"{torch.threads} thread{'s' if torch.threads > 1 else ''}"
    cores = f"{usable} usable core{'s' if usable > 1 else ''}"
    if torch.threads > usable:
        quota = machine.host.cpu_limit_cores if machine.host else None
        why = f" A quota of {quota:g} cores holds here, which torch does not see." if quota else ""
        return CHECK.warn(
            f"{threads} on {cores}",
            f"More threads than cores wait for one another at every operator.{why}",
            Fix(text="Use one thread a core.", commands=(f"export OMP_NUM_THREADS={usable}",)),
        )
    if torch.threads < enough:
        limit = machine.software.environment.get("OMP_NUM_THREADS")
        cause = f"OMP_NUM_THREADS is {limit}." if limit else "Something limits torch's threads."
        return CHECK.warn(
            f"{threads} on {cores}",
            f"{cause} Cores stay idle.",
            Fix(text="Use every core.", commands=(f"export OMP_NUM_THREADS={enough}",)),
        )
    return CHECK.ok(f"{threads} on {cores}")


CHECK = Check(
    id="threads",
    title="Threads",
    why="too few leave cores idle, too many make every operator wait",
    needs=("torch",),
    asks=("facts",),
    run=check_threads,
)
