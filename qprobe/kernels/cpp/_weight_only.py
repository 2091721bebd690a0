"""What the C++ kernels for weights as they are stored have in common."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from qprobe.kernels.cpp._library import load_library

SCHEMES = frozenset({"W8A16", "W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4"})
KINDS = {torch.int32: 0, torch.uint8: 1, torch.int8: 2}
"""Type of the canonical codes → the kind of weight in the sources."""
TYPES = {torch.float32: 0, torch.bfloat16: 1}


class Call(ctypes.Structure):
    """The arguments of one product, as the sources have them."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("type", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("m", "n", "k", "group")),
        *(
            (name, ctypes.c_void_p)
            for name in ("codes", "scales", "zero_points", "x", "bias", "y", "scratch")
        ),
    )


@functools.cache
def bind(name: str) -> tuple[Callable[[Any], int], Callable[[Any], int]]:
    """The function of that name and the one that tells its scratch bytes."""
    handle = load_library().handle
    if handle is None:
        raise RuntimeError(load_library().reason)
    run, scratch_bytes = handle[name], handle[f"{name}_scratch_bytes"]
    run.argtypes = scratch_bytes.argtypes = [ctypes.POINTER(Call)]
    run.restype, scratch_bytes.restype = ctypes.c_int, ctypes.c_int64
    return run, scratch_bytes


def multiply(
    name: str,
    x: Tensor,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
    compute_dtypes: tuple[torch.dtype, ...],
) -> Tensor:
    """The product (…, N) of canonical tensors and x (…, K).

    It is computed in the type of x or else the first of `compute_dtypes`.
    """
    codes, scales = packed[0], packed[1]
    dtype = x.dtype if x.dtype in compute_dtypes else compute_dtypes[0]
    points = packed[3] if len(packed) > 3 else None
    kind = KINDS[codes.dtype]
    weight = codes, scales, points
    return _call(name, kind, weight, scales.shape, x, bias, dtype, out_dtype)


def multiply_strips(
    name: str, x: Tensor, packed: Sequence[Tensor], bias: Tensor | None, out_dtype: torch.dtype
) -> Tensor:
    """The product (…, N) in bfloat16 of tensors as `pack_strips` gives them and x (…, K)."""
    codes, scales, *rest = packed
    if codes.dtype == torch.int8:
        kind, points = KINDS[torch.int8], None
    else:
        kind = KINDS[torch.int32 if scales.dtype == torch.bfloat16 else torch.uint8]
        points = rest[0] if rest else None
    groups, n = scales.shape
    weight = codes, scales, points
    return _call(name, kind, weight, (n, groups), x, bias, torch.bfloat16, out_dtype)


def _call(
    name: str,
    kind: int,
    weight: tuple[Tensor, Tensor, Tensor | None],
    scales: Sequence[int],
    x: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
    out_dtype: torch.dtype,
) -> Tensor:
    """Run the function of that name; `scales` tells N and the scales of a row."""
    codes, scale, points = weight
    n, groups = scales
    *before, k = x.shape
    # Each operator that is not called saves a microsecond.
    if x.dtype is not dtype or not x.is_contiguous():
        x = x.to(dtype).contiguous()
    if bias is not None and (bias.dtype is not dtype or not bias.is_contiguous()):
        bias = bias.to(dtype).contiguous()
    y = torch.empty((*before, n), dtype=dtype, device=x.device)
    if y.numel():
        call = Call(
            kind,
            TYPES[dtype],
            y.numel() // n,
            n,
            k,
            k // groups,
            codes.data_ptr(),
            scale.data_ptr(),
            None if points is None else points.data_ptr(),
            x.data_ptr(),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(),
        )
        run, scratch_bytes = bind(name)
        if wanted := scratch_bytes(call):
            scratch = torch.empty(wanted, dtype=torch.uint8, device=x.device)
            call.scratch = scratch.data_ptr()
        # A thread of Python takes over the number of threads that was set only where it asks torch for it.
        torch.get_num_threads()
        if run(call):
            raise MemoryError(f"{name} got no memory for {call.m} rows")
    return y if dtype is out_dtype else y.to(out_dtype)
