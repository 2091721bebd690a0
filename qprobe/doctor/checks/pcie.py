"""Is the GPU connected at its full width?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine

_IDLE_STATE = 8  # performance states from here on are idle; the link then sleeps in generation 1


def check_pcie(machine: Machine) -> Finding:
    """Compare the link with what card and slot can do; an idle card's generation says nothing."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    told = [gpu for gpu in machine.gpus if gpu.pcie_width and gpu.pcie_width_max]
    if not told:
        return CHECK.skip("the driver does not tell")
    for gpu in told:
        narrow = (gpu.pcie_width or 0) < (gpu.pcie_width_max or 0)
        slow = _is_awake(gpu) and (gpu.pcie_generation or 99) < (gpu.pcie_generation_max or 0)
        if narrow or slow:
            return CHECK.warn(
                _tell(gpu, narrow=narrow, slow=slow),
                f"{describe(gpu, machine)}: loading weights, and offloading them, is slower by that "
                "factor; what stays on the card is not.",
                Fix(
                    text="Seat the card anew, or use a slot with more lanes; on a server, look at the "
                    "riser and the BIOS.",
                    commands=("nvidia-smi -q -d PERFORMANCE", "nvidia-smi topo -m"),
                ),
            )
    return CHECK.ok(", ".join(f"{gpu.pcie_width} lanes" for gpu in told))


def _is_awake(gpu: Gpu) -> bool:
    if gpu.performance_state is None or gpu.throttle_reasons is None:
        return False
    return gpu.performance_state < _IDLE_STATE and "idle" not in gpu.throttle_reasons


def _tell(gpu: Gpu, *, narrow: bool, slow: bool) -> str:
    parts = [f"{gpu.pcie_width} of {gpu.pcie_width_max} lanes"] if narrow else []
    if slow:
        parts.append(f"generation {gpu.pcie_generation} of {gpu.pcie_generation_max}")
    return ", ".join(parts)


CHECK = Check(
    id="pcie",
    title="PCIe",
    why="a card in a narrow slot loads and offloads weights slowly",
    needs=("gpu",),
    asks=("facts",),
    run=check_pcie,
)
