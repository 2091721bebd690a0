"""How the kernels of each role are run: tensors in, y out, whatever the shape of x."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import Run
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda._split import choose_split
from qprobe.kernels.cuda._stored import Stored, read_label
from qprobe.kernels.cuda.arguments import INT32_MAX
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.grid import LIMITS
from qprobe.kernels.cuda.launch import launch
from qprobe.kernels.cuda.portfolio import Source

ALIGNMENT = 16
"""Bytes of the widest load."""
PREFERRED = (torch.bfloat16, torch.float16, torch.float32)
"""What activations of another type are brought to, the widest range first."""


def run_product(source: Source) -> Run:
    """`run` of a kernel that multiplies weights as they are stored, with x as it is or its codes."""

    def run(
        x: Tensor,
        x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        stored = read_label(packed)
        _check_device(source, x, packed)
        coded = source.manifest.input != "float"
        if coded and x_scale is None:
            raise TypeError(f"{source.name} multiplies quantized activations")
        build, dtype = choose_build(source, stored.scheme, out_dtype if coded else x.dtype)
        rows = x.reshape(-1, stored.k)
        rows = align(rows if coded else rows.to(dtype))
        if x_scale is not None:
            x_scale = x_scale.reshape(-1)
        if bias is not None:
            bias = align(bias.to(dtype))
        y = torch.empty(len(rows), stored.n, dtype=dtype, device=x.device)
        most = most_rows(build, stored)
        for start in range(0, len(rows), most):
            part = slice(start, start + most)
            scale = None if x_scale is None else x_scale[part]
            _multiply(source, build, rows[part], scale, packed, stored, bias, y[part])
        return y.to(out_dtype).reshape(*x.shape[:-1], stored.n)

    return run


def run_dequantized(source: Source) -> Run:
    """`run` by way of the whole weight in the type of x, which torch's own product then multiplies."""

    def run(
        x: Tensor,
        _x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        stored = read_label(packed)
        _check_device(source, x, packed)
        build, dtype = choose_build(source, stored.scheme, x.dtype)
        weight = torch.empty(stored.n, stored.k, dtype=dtype, device=x.device)
        if x.numel():
            tensors = {**_weights(source, packed), "y": weight}
            launch(source, build.name, x.device, tensors, **_counts(stored, m=1, split=1))
        bias = None if bias is None else bias.to(dtype)
        return functional.linear(x.to(dtype), weight, bias).to(out_dtype)

    return run


def choose_build(source: Source, scheme: str, dtype: torch.dtype) -> tuple[Build, torch.dtype]:
    """The build for a type of activations, or for the nearest type that there is one for."""
    for candidate in (dtype, *PREFERRED):
        build = source.find_build(scheme, candidate)
        if build is not None:
            return build, candidate
    raise TypeError(f"{source.name} has no build for {scheme}")


def most_rows(build: Build, stored: Stored) -> int:
    """Rows of x that one launch can index with 32 bits and cover with blocks."""
    widest = max(stored.n, stored.k)
    return max(1, min(INT32_MAX // widest, LIMITS[1] * build.tile.m))


def align(matrix: Tensor) -> Tensor:
    """The matrix contiguous, at an address that the widest load takes."""
    matrix = matrix.contiguous()
    return matrix.clone() if matrix.data_ptr() % ALIGNMENT else matrix


def _multiply(
    source: Source,
    build: Build,
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    stored: Stored,
    bias: Tensor | None,
    y: Tensor,
) -> None:
    m, arguments = len(x), source.manifest.arguments
    split = 1
    tensors: dict[str, Tensor | None] = {**_weights(source, packed), "x": x, "bias": bias, "y": y}
    tensors["x_scale"] = x_scale
    if "split" in arguments:
        sm_count = driver.find_card(x.device.index).sm_count
        split = choose_split(build.tile, sm_count, m, stored.n, stored.k)
        if split > 1:
            tensors |= _split_memory(build, x, stored, split)
    launch(source, build.name, x.device, tensors, **_counts(stored, m=m, split=split))


def _split_memory(build: Build, x: Tensor, stored: Stored, split: int) -> dict[str, Tensor]:
    """Partial sums, and a counter a block of y that tells which part is the last to arrive.

    Both are of this call alone: two streams may run one layer at a time.
    """
    tile, m = build.tile, len(x)
    across, down = -(-stored.n // tile.n), -(-m // tile.m)
    return {
        "scratch": torch.empty(
            split * across * tile.n * down * tile.m, dtype=torch.float32, device=x.device
        ),
        "counters": torch.zeros(across * down, dtype=torch.int32, device=x.device),
    }


def _weights(source: Source, packed: Sequence[Tensor]) -> dict[str, Tensor | None]:
    """The tensors of a packing by the names of arguments: words, scales, zero points."""
    return dict(zip(("packed", "scales", "zeros"), packed[:-1], strict=False))


def _counts(stored: Stored, *, m: int, split: int) -> dict[str, int]:
    group = SCHEMES[stored.scheme].block
    return {"m": m, "n": stored.n, "k": stored.k, "group": group, "split": split}


def _check_device(source: Source, x: Tensor, packed: Sequence[Tensor]) -> None:
    if x.device != packed[0].device:
        raise ValueError(
            f"x is on {x.device}, the weight of the layer on {packed[0].device}: "
            f"cuda.{source.name} needs both on one"
        )


Products = dict[str, Callable[[Source], Run]]
BY_ROLE: Products = {"gemv": run_product, "gemm": run_product, "dequantize": run_dequantized}
"""Role of a kernel that computes layers → how it is run."""
