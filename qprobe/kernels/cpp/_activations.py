"""The activation quantizer in C++: one pass over each row."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qprobe.kernels.cpp._library import load_library

NAME = "qprobe_quantize_tokens"
TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
FORMS = {"int8": 0, "uint8": 1, "float8_e4m3fn": 2}


@functools.cache
def find_quantizer() -> Callable[..., Any] | None:
    """The function, or None where the library cannot be built."""
    library = load_library()
    if library.handle is None or not library.has(NAME):
        return None
    quantize = library.handle[NAME]
    quantize.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    quantize.restype = None
    return quantize


def quantize_rows(quantize: Callable[..., Any], x: Tensor, form: str) -> tuple[Tensor, Tensor]:
    """Codes (…, K) of the form and scales (…, 1) float32 of x (…, K) of one of the types."""
    x = x.contiguous()
    codes = torch.empty(x.shape, dtype=getattr(torch, form), device=x.device)
    scales = torch.empty((*x.shape[:-1], 1), dtype=torch.float32, device=x.device)
    if codes.numel():
        k = x.shape[-1]
        pointers = codes.data_ptr(), scales.data_ptr()
        # A thread of Python takes over the number of threads that was set only where it asks torch for it.
        torch.get_num_threads()
        quantize(x.data_ptr(), TYPES[x.dtype], x.numel() // k, k, FORMS[form], *pointers)
    return codes, scales
