"""int8 weights and activations by VNNI, scaled and written in the type of x in the same pass."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, any_code, refuse_long_sums
from qprobe.kernels.cpp._library import load_library, why_absent
from qprobe.kernels.cpp._strips import pack_strips, unpack_strips
from qprobe.kernels.cpp._weight_only import TYPES

NAME = "qprobe_gemm_int8"
FEATURES = frozenset({"avx512_vnni", "avx512bw", "avx512vl"})


class Call(ctypes.Structure):
    """The arguments of one product, as the source has them."""

    _fields_ = (
        ("type", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("m", "n", "k")),
        *(
            (name, ctypes.c_void_p)
            for name in ("codes", "scales", "offsets", "x", "x_scales", "bias", "y", "scratch")
        ),
    )


@functools.cache
def _bind() -> tuple[Callable[[Any], int], Callable[[Any], int]]:
    handle = load_library().handle
    if handle is None:
        raise RuntimeError(load_library().reason)
    run, scratch_bytes = handle[NAME], handle[f"{NAME}_scratch_bytes"]
    run.argtypes = scratch_bytes.argtypes = [ctypes.POINTER(Call)]
    run.restype, scratch_bytes.restype = ctypes.c_int, ctypes.c_int64
    return run, scratch_bytes


def _absent(_device: str) -> str:
    return why_absent(NAME, FEATURES)


def _run(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    codes, scales, offsets = packed
    *before, k = x.shape
    n = scales.shape[1]
    if not x.is_contiguous():
        x = x.contiguous()
    x_scale = x_scale.contiguous()
    dtype = out_dtype if out_dtype in TYPES else torch.float32
    if bias is not None and (bias.dtype is not dtype or not bias.is_contiguous()):
        bias = bias.to(dtype).contiguous()
    y = torch.empty((*before, n), dtype=dtype, device=x.device)
    if y.numel():
        call = Call(
            TYPES[dtype],
            y.numel() // n,
            n,
            k,
            codes.data_ptr(),
            scales.data_ptr(),
            offsets.data_ptr(),
            x.data_ptr(),
            x_scale.data_ptr(),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(),
        )
        run, scratch_bytes = _bind()
        if wanted := scratch_bytes(call):
            scratch = torch.empty(wanted, dtype=torch.uint8, device=x.device)
            call.scratch = scratch.data_ptr()
        # A thread of Python takes over the number of threads that was set only where it asks torch for it.
        torch.get_num_threads()
        if run(call):
            raise MemoryError(f"{NAME} got no memory for {call.m} rows")
    return y if dtype is out_dtype else y.to(out_dtype)


KERNEL = Kernel(
    id="cpu.gemm_avx512_vnni",
    schemes=frozenset({"W8A8"}),
    device="cpu",
    packing="strips",
    input="uint8",
    absent=_absent,
    max_code=any_code,
    refuse=refuse_long_sums,
    pack=pack_strips,
    unpack=unpack_strips,
    run=_run,
)
