"""Which GPUs an operator of torch computes on."""

from __future__ import annotations

from collections.abc import Callable

from qprobe.kernels import gpus


def absent_before(oldest: gpus.Capability, what: str) -> Callable[[str], str]:
    """The `absent` of a kernel that needs a GPU of at least that capability."""
    return lambda device: gpus.no_gpu() or too_old(device, oldest, what)


def too_old(device: str, oldest: gpus.Capability, what: str) -> str:
    """Why a GPU will not do; "" if it will."""
    found = gpus.capability_of(device)
    if found >= oldest:
        return ""
    return (
        f"{what} from compute capability {gpus.spell(oldest)} on; this GPU has {gpus.spell(found)}"
    )
