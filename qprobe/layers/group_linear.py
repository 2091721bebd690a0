"""4-bit integer weights in groups along K (W4A16 and its variants)."""

from __future__ import annotations

from typing import Any, ClassVar

from qprobe.kernels.ops import GROUP_LINEAR
from qprobe.layers._coded import CodedLinear


class GroupLinear(CodedLinear):
    """A linear whose weight is 4-bit codes, eight to a word."""

    schemes: ClassVar[frozenset[str]] = frozenset({"W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM"})
    operator: ClassVar[Any] = GROUP_LINEAR


LAYER = GroupLinear
