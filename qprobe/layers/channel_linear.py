"""8-bit weights with one scale for each output channel (W8A8, W8A16, FP8_DYNAMIC)."""

from __future__ import annotations

from typing import Any, ClassVar

from qprobe.kernels.ops import CHANNEL_LINEAR
from qprobe.layers._coded import CodedLinear


class ChannelLinear(CodedLinear):
    """A linear whose weight is int8 or float8 codes."""

    schemes: ClassVar[frozenset[str]] = frozenset({"W8A8", "W8A16", "FP8_DYNAMIC"})
    operator: ClassVar[Any] = CHANNEL_LINEAR


LAYER = ChannelLinear
