"""What a packed layer says of itself: packings pad N and K, so that one more tensor tells the rest.

It is empty, of shape (N, K, scheme, 0): shapes are known without asking the device, and travel with
the packed tensors through every operator of torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec

NAMES = tuple(SCHEMES)
"""Number of a scheme → its name."""


def add_label(packed: Sequence[Tensor], spec: LayerSpec) -> tuple[Tensor, ...]:
    """The packed tensors and, last, the label that tells what they are."""
    label = torch.empty(
        spec.n, spec.k, NAMES.index(spec.scheme), 0, dtype=torch.uint8, device=packed[0].device
    )
    return (*packed, label)
