"""Which GPUs an operator of torch computes on."""

from __future__ import annotations

from collections.abc import Callable

from qprobe.kernels import gpus
from qprobe.kernels._kernel import LayerSpec


def absent_before(oldest: gpus.Capability, what: str) -> Callable[[], str]:
    """The `absent` of a kernel that needs a GPU of at least that capability."""

    def absent() -> str:
        if words := gpus.no_gpu():
            return words
        newest = max(gpus.all_capabilities())
        return "" if newest >= oldest else too_old(newest, oldest, what)

    return absent


def too_old(found: gpus.Capability, oldest: gpus.Capability, what: str) -> str:
    """Why a GPU will not do; "" if it will."""
    if found >= oldest:
        return ""
    return (
        f"{what} from compute capability {gpus.spell(oldest)} on; this GPU has {gpus.spell(found)}"
    )


def refuse_before(spec: LayerSpec, oldest: gpus.Capability, what: str) -> str:
    """Why the GPU that the layer is on will not do; "" if it will."""
    return too_old(gpus.capability_of(spec.device), oldest, what)
