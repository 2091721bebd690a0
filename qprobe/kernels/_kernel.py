"""What a kernel is: one way to compute y = x · Wᵀ + b from one packing of the weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES

Input = Literal["float", "uint8", "int8", "float8_e4m3fn"]
"""What a kernel wants for x: the activations, or their codes (zero point 128, 0 or none) and scales."""

MAX_SUM = 2**31 // (255 * 127)
"""So many products of 8-bit codes fit 32 bits, whatever the codes are."""


@dataclass(frozen=True)
class LayerSpec:
    """What a kernel has to know of a layer to accept or refuse it."""

    scheme: str
    n: int
    k: int
    activation_dtype: torch.dtype
    max_code: int
    """The largest magnitude that the layer's algorithm stores; 0 where nothing is quantized."""
    device: str
    """Where the layer is: "cpu", "cuda:1", …; "cuda" is the first of its kind."""

    @property
    def kind(self) -> str:
        """The kind of that device: "cpu" or "cuda", for instance."""
        return self.device.partition(":")[0]


Pack = Callable[[dict[str, Tensor], LayerSpec], Sequence[Tensor]]
Unpack = Callable[[Sequence[Tensor], LayerSpec], dict[str, Tensor]]
Run = Callable[[Tensor, Tensor | None, Sequence[Tensor], Tensor | None, torch.dtype], Tensor]


@dataclass(frozen=True)
class Kernel:
    """A way to compute a linear layer.

    `run(x, x_scale, packed, bias, out_dtype)`: x (…, K) as `input` says, x_scale (…, 1) float32
    for codes and None otherwise, y (…, N) in `out_dtype`. `unpack(pack(t)) == t`, bit for bit.
    """

    id: str
    schemes: frozenset[str]
    device: Literal["cpu", "cuda", "any"]
    packing: str
    input: Input
    absent: Callable[[str], str]
    """Why it cannot run at all on a device of its kind, such as "cuda:1"; "" if it can."""
    max_code: Callable[[], int | None]
    """The largest code that it multiplies exactly here; None: any, or it cannot run."""
    refuse: Callable[[LayerSpec], str]
    """Why it cannot compute this layer, on a device that it runs on; "" if it can."""
    pack: Pack
    unpack: Unpack
    run: Run
    max_rows: int | None = None
    """The largest M that it is meant for, right as it is beyond; None: any."""
    min_rows: int = 1
    """The least M from which on it is meant for more than those behind it that take the same packing."""
    unproven: bool = False
    """Whether no device has measured it yet: nothing but a measurement brings it into a plan."""
    dequantizes: bool = False
    """Whether it writes the weight out in the type of the activations, then multiplies by that."""
    sum_error: float = 0.0
    """‖y−ŷ‖/‖y‖ that its hardware explains, where that adds products up with fewer bits than float32 has."""
    warm_up: Callable[[LayerSpec], object] = lambda _: None
    """Has ready what the first call would otherwise wait for, such as a compiler; it may be in a CUDA graph,
    where nothing can be loaded."""

    trial: Callable[[LayerSpec], AbstractContextManager[None]] = lambda _: nullcontext()
    """What to run it in for the first time on a shape: a kernel that brings a card down is remembered.
    Raises CrashError then."""

    def objection(self, spec: LayerSpec) -> str:
        """Every reason against computing this layer here, in one sentence, or ""."""
        if spec.scheme not in self.schemes:
            return f"{self.id} does not compute {spec.scheme}"
        if self.device not in (spec.kind, "any"):
            return f"{self.id} runs on {self.device}, the layer is on {spec.kind}"
        if words := SCHEMES[spec.scheme].objection(spec.n, spec.k) or self.absent(spec.device):
            return words
        limit = self.max_code()
        if limit is not None and spec.max_code > limit:
            return f"{self.id} multiplies codes up to {limit} exactly here, the layer has {spec.max_code}"
        return self.refuse(spec)

    def clips(self, codes: Tensor) -> str:
        """Whether a stored weight has codes that it does not multiply exactly here; "" where it has none.

        What is loaded may be of another algorithm than what was planned.
        """
        limit = self.max_code()
        if limit is None or codes.dtype != torch.int8 or not codes.numel():
            return ""
        least, most = codes.aminmax()
        largest = max(-int(least), int(most))
        if largest <= limit:
            return ""
        return f"it multiplies codes up to {limit} exactly here, the weight has {largest}"


def nothing(_device: str) -> str:
    """No objection to any device."""
    return ""


def any_code() -> None:
    """No limit."""


def refuse_long_sums(spec: LayerSpec) -> str:
    """Whether the 32 bits of an int8 product hold the sums over K."""
    return "" if spec.k <= MAX_SUM else f"sums of K = {spec.k} products may exceed 32 bits"


def accept(_spec: LayerSpec) -> str:
    """No objection to any layer."""
    return ""
