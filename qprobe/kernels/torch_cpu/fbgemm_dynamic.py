"""int8 weights and activations by FBGEMM, through torch's quantized linear."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qprobe.documents.scheme import FULL_RANGE, REDUCED_RANGE
from qprobe.kernels._kernel import Kernel, LayerSpec, accept
from qprobe.kernels.activations import ZERO_POINTS
from qprobe.kernels.int8_self_test import worst_error

ENGINE = "fbgemm"


class _Held(Tensor):
    """Stands for a weight (N, K) int8 in FBGEMM's layout, which torch has no tensor of."""

    weight: Any
    __torch_function__ = torch._C._disabled_torch_function_impl


def _absent() -> str:
    if ENGINE not in torch.backends.quantized.supported_engines:
        return "this torch was built without FBGEMM"
    try:
        return "" if _worst_errors()[1] == 0 else "FBGEMM's integer product is wrong here"
    except (RuntimeError, AttributeError) as error:  # torch means to remove quantized tensors
        words = str(error).strip().partition("\n")[0]
        return f"FBGEMM does not run: {words}"


def _max_code() -> int | None:
    return REDUCED_RANGE if _worst_errors()[0] else None


@functools.cache
def _worst_errors() -> tuple[float, float]:
    """With weights of the full range and of the reduced one: without VNNI, sums are cut to 16 bits."""

    def product(x: Tensor, w: Tensor) -> Tensor:
        return _multiply(x, _prepack(w, torch.ones(len(w))))

    return worst_error(product, FULL_RANGE), worst_error(product, REDUCED_RANGE)


def _prepack(codes: Tensor, scale: Tensor) -> _Held:
    zero_points = torch.zeros(len(codes), dtype=torch.int64)
    before = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the removal at each use
        quantized = torch._make_per_channel_quantized_tensor(
            codes.contiguous(), scale.double().reshape(-1), zero_points, 0
        )
        torch.backends.quantized.engine = ENGINE
        try:
            weight = torch.ops.quantized.linear_prepack(quantized, None)
        finally:
            torch.backends.quantized.engine = before
    # Of the size of what is held, with a single byte of its own.
    held: _Held = Tensor._make_subclass(_Held, codes.new_zeros(1, 1).expand(codes.shape))
    held.weight = weight
    return held


def _multiply(codes: Tensor, held: _Held) -> Tensor:
    """Σ codes · weight · scale for codes (M, K) int8, (M, N) float32.

    The operator takes float32, which it divides by a given scale and rounds: codes to themselves.
    """
    operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
    y: Tensor = operator(codes.to(torch.float32), 1.0, ZERO_POINTS["uint8"], held.weight)
    return y


def _pack(tensors: dict[str, Tensor], _spec: LayerSpec) -> Sequence[Tensor]:
    return (_prepack(tensors["weight"], tensors["weight_scale"]),)


def _unpack(packed: Sequence[Tensor], _spec: LayerSpec) -> dict[str, Tensor]:
    held = packed[0]
    assert isinstance(held, _Held)
    weight, _bias = torch.ops.quantized.linear_unpack(held.weight)
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
    held = packed[0]
    assert isinstance(held, _Held)
    y = _multiply(x.reshape(-1, x.shape[-1]), held)
    x_scale = x_scale.reshape(-1, 1)
    y = y.mul_(x_scale) if bias is None else torch.addcmul(bias.float(), y, x_scale, out=y)
    return y.reshape(*x.shape[:-1], y.shape[-1]).to(out_dtype)


KERNEL = Kernel(
    id="cpu.fbgemm_dynamic",
    schemes=frozenset({"W8A8"}),
    device="cpu",
    packing="fbgemm",
    input="int8",
    absent=_absent,
    max_code=_max_code,
    refuse=accept,
    pack=_pack,
    unpack=_unpack,
    run=_run,
)
