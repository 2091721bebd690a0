"""int8 weights and activations by FBGEMM, through torch's quantized linear."""

from __future__ import annotations

import functools
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from qprobe.documents.scheme import FULL_RANGE, REDUCED_RANGE
from qprobe.kernels._kernel import Kernel, LayerSpec, refuse_long_sums
from qprobe.kernels.activations import ZERO_POINTS
from qprobe.kernels.int8_self_test import worst_error
from qprobe.kernels.torch_cpu._rows import finish_rows

ENGINE = "fbgemm"
_lock = threading.Lock()
_held: dict[int, Any] = {}
"""Address of a stand-in → the weight in FBGEMM's layout, which torch has no tensor of."""


def _absent(_device: str) -> str:
    if ENGINE not in torch.backends.quantized.supported_engines:
        return "this torch was built without FBGEMM"
    try:
        return "" if _worst_errors()[1] == 0 else "FBGEMM's integer product is wrong here"
    except (RuntimeError, AttributeError) as error:  # torch means to remove quantized tensors
        words = str(error).strip().partition("\n")[0]
        return f"FBGEMM does not run: {words}"


def _max_code() -> int | None:
    return REDUCED_RANGE if not _absent("cpu") and _worst_errors()[0] else None


@functools.cache
def _worst_errors() -> tuple[float, float]:
    """With weights of the full range and of the reduced one: without VNNI, sums are cut to 16 bits."""

    def product(x: Tensor, w: Tensor) -> Tensor:
        return _multiply(x, _prepack(w, torch.ones(len(w), dtype=torch.float32, device="cpu")))

    return worst_error(product, FULL_RANGE), worst_error(product, REDUCED_RANGE)


@contextmanager
def _engine() -> Iterator[None]:
    """FBGEMM as what packs quantized tensors, in silence: torch announces their removal at each use."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = torch.backends.quantized.engine
        torch.backends.quantized.engine = ENGINE
        try:
            yield
        finally:
            torch.backends.quantized.engine = before


def _prepack(codes: Tensor, scale: Tensor) -> Tensor:
    zero_points = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
    with _engine():
        quantized = torch._make_per_channel_quantized_tensor(
            codes.contiguous(), scale.double().reshape(-1), zero_points, 0
        )
        weight = torch.ops.quantized.linear_prepack(quantized, None)
    # Of the size of what is held, with a single byte of its own.
    stand_in = codes.new_zeros(1, 1).expand(codes.shape)
    address = stand_in.data_ptr()
    _held[address] = weight
    weakref.finalize(stand_in, _held.pop, address)
    return stand_in


def _multiply(codes: Tensor, stand_in: Tensor) -> Tensor:
    """Σ codes · weight · scale for codes (M, K) int8, (M, N) float32.

    The operator takes float32, which it divides by a given scale and rounds: codes to themselves.
    """
    operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
    y: Tensor = operator(
        codes.to(torch.float32), 1.0, ZERO_POINTS["uint8"], _held[stand_in.data_ptr()]
    )
    return y


def _pack(tensors: dict[str, Tensor], _spec: LayerSpec) -> Sequence[Tensor]:
    return (_prepack(tensors["weight"], tensors["weight_scale"]),)


def _unpack(packed: Sequence[Tensor], _spec: LayerSpec) -> dict[str, Tensor]:
    with _engine():
        weight, _bias = torch.ops.quantized.linear_unpack(_held[packed[0].data_ptr()])
        scale = weight.q_per_channel_scales().to(torch.float32)
        return {"weight": weight.int_repr(), "weight_scale": scale.reshape(-1, 1)}


def _run(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    y = _multiply(x.reshape(-1, x.shape[-1]), packed[0])
    return finish_rows(y, x_scale, bias, x.shape[:-1], out_dtype)


KERNEL = Kernel(
    id="cpu.fbgemm_dynamic",
    schemes=frozenset({"W8A8"}),
    device="cpu",
    packing="fbgemm",
    input="int8",
    absent=_absent,
    max_code=_max_code,
    refuse=refuse_long_sums,
    pack=_pack,
    unpack=_unpack,
    run=_run,
)
