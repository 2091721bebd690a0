"""Brings what NVML tells of a GPU to those who measure it."""

from __future__ import annotations

from collections.abc import Callable

from qprobe.documents.machine import GpuState


def state_reader(device: str) -> Callable[[], GpuState | None] | None:
    """What reads the state of "cuda:N"; None for the processor, which has none to tell."""
    if device == "cpu":
        return None
    import torch

    from qprobe.probe.state import read_state

    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return lambda: read_state(uuid)
