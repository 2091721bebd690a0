"""4-bit indices into a table of values (NF4)."""

from __future__ import annotations

from typing import Any, ClassVar

from qprobe.kernels.ops import CODEBOOK_LINEAR
from qprobe.layers._coded import CodedLinear


class CodebookLinear(CodedLinear):
    """A linear whose weight is indices into a table, two to a byte."""

    schemes: ClassVar[frozenset[str]] = frozenset({"NF4"})
    operator: ClassVar[Any] = CODEBOOK_LINEAR


LAYER = CodebookLinear
