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
"""Type of the stored codes → the kind of weight in the sources."""
CODES_PER_ELEMENT = {torch.int32: 8, torch.uint8: 2, torch.int8: 1}
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
def bind(name: str) -> tuple[Callable[[Any], Any], Callable[[Any], int]]:
    """The function of that name and the one that tells its scratch bytes."""
    handle = load_library().handle
    if handle is None:
        raise RuntimeError(load_library().reason)
    run, scratch_bytes = handle[name], handle[f"{name}_scratch_bytes"]
    run.argtypes = scratch_bytes.argtypes = [ctypes.POINTER(Call)]
    run.restype, scratch_bytes.restype = None, ctypes.c_int64
    return run, scratch_bytes


def multiply(
    name: str,
    x: Tensor,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
    compute_dtypes: tuple[torch.dtype, ...],
) -> Tensor:
    """The product (…, N) for x (…, K), computed in its type or the first of `compute_dtypes`."""
    codes, scales = packed[0], packed[1]
    k = codes.shape[1] * CODES_PER_ELEMENT[codes.dtype]
    n, shape = codes.shape[0], x.shape
    x = x.reshape(-1, k)
    dtype = x.dtype if x.dtype in compute_dtypes else compute_dtypes[0]
    x = x.to(dtype).contiguous()
    if bias is not None:
        bias = bias.to(dtype)
    y = torch.empty(x.shape[0], n, dtype=dtype)
    if y.numel():
        call = Call(
            KINDS[codes.dtype],
            TYPES[dtype],
            x.shape[0],
            n,
            k,
            k // scales.shape[1],
            codes.data_ptr(),
            scales.data_ptr(),
            packed[3].data_ptr() if len(packed) > 3 else None,
            x.data_ptr(),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(),
        )
        run, scratch_bytes = bind(name)
        scratch = torch.empty(scratch_bytes(call), dtype=torch.uint8)
        call.scratch = scratch.data_ptr()
        run(call)
    y = y.reshape(*shape[:-1], n)
    return y if y.dtype == out_dtype else y.to(out_dtype)
