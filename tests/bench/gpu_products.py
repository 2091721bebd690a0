"""The int8 product of a layer by itself, of x that was quantized before: a layer reads and writes x once more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.torch_cuda import _operators
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._verification import some_rows

INPUT = "int8"


@dataclass(frozen=True)
class Product:
    """What a layer has its kernel do: sums, scales, the bias and the type of y."""

    layer: PlannedLinear
    kernel: Kernel
    dtype: torch.dtype

    def __call__(self, operands: tuple[Tensor, Tensor]) -> Tensor:
        """Take codes (M, K) and scales (M, 1), give y (M, N)."""
        packed, bias = self.layer._packed, self.layer._parameters["bias"]
        return self.kernel.run(*operands, packed, bias, self.dtype)


@dataclass(frozen=True)
class Sums:
    """What torch's operator does: sums in int32, and nothing else."""

    weight: Tensor
    """Codes (N, K), int8."""

    def __call__(self, operands: tuple[Tensor, Tensor]) -> Tensor:
        """Take codes (M, K) and scales, which are of no use here, give the sums (M, N)."""
        return _operators.int_mm(operands[0], self.weight)


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and scales, as a layer makes them of x (M, K)."""
    return quantize_tokens(x, INPUT)


def check_sums(sums: Sums, x: Tensor, y: Tensor) -> str:
    """Whether they are exact, in some rows: float64 holds each of them."""
    rows = some_rows(len(x))
    codes, _ = quantize(x[rows])
    exact = codes.double() @ sums.weight.double().T
    return "" if torch.equal(exact, y[rows].double()) else "wrong numbers: its sums are not exact"
