"""The operators that layers call: registered with torch, so that compile and autograd see through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.registry import get_kernel
from qprobe.quantize.scheme import dequantize_weight

LIBRARY = torch.library.Library("qprobe", "DEF")
FAMILIES = ("float_linear", "channel_linear", "group_linear", "codebook_linear")
"""One operator for each family of schemes."""

LIBRARY.define(
    "stored_product(Tensor x, Tensor[] packed, str scheme, int n, int k, str kernel, "
    "bool transposed) -> Tensor"
)
LIBRARY.define("quantize_tokens(Tensor x, str form) -> (Tensor, Tensor)")
for _name in FAMILIES:
    LIBRARY.define(
        f"{_name}(Tensor x, Tensor? codes, Tensor? x_scale, Tensor[] packed, Tensor? bias, "
        "str scheme, int n, str kernel) -> Tensor"
    )


def _linear(
    x: Tensor,
    codes: Tensor | None,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    _scheme: str,
    _n: int,
    kernel: str,
) -> Tensor:
    """`codes` and `x_scale` are x quantized, for the kernels that want it so; x gives the type."""
    return get_kernel(kernel).run(x if codes is None else codes, x_scale, packed, bias, x.dtype)


def _fake_linear(x: Tensor, *rest: Any) -> Tensor:
    return x.new_empty((*x.shape[:-1], rest[-2]))


def _fake_quantize(x: Tensor, form: str) -> tuple[Tensor, Tensor]:
    codes = x.new_empty(x.shape, dtype=getattr(torch, form))
    return codes, x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)


def _stored_product(
    x: Tensor,
    packed: Sequence[Tensor],
    scheme: str,
    n: int,
    k: int,
    kernel: str,
    transposed: bool,
) -> Tensor:
    """X (…, N) · W with the stored weight, or x (…, K) · Wᵀ if transposed; in the type of x."""
    spec = LayerSpec(scheme, n, k, x.dtype, 0, x.device.type)
    tensors = get_kernel(kernel).unpack(packed, spec)
    weight = dequantize_weight(tensors, SCHEMES[scheme], x.dtype)
    return x @ (weight.T if transposed else weight)


def _fake_stored_product(
    x: Tensor, _packed: Sequence[Tensor], _scheme: str, n: int, k: int, _kernel: str, turned: bool
) -> Tensor:
    return x.new_empty((*x.shape[:-1], n if turned else k))


def _keep_product(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.packed, *ctx.weight, ctx.transposed = inputs


def _turned_product(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    x = STORED_PRODUCT(gradient, ctx.packed, *ctx.weight, not ctx.transposed)
    return (x, [None] * len(ctx.packed), *[None] * (len(ctx.weight) + 1))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, _codes, _x_scale, ctx.packed, bias, scheme, _n, ctx.kernel = inputs
    ctx.weight = (scheme, output.shape[-1], x.shape[-1])
    ctx.has_bias = bias is not None


def _input_gradient(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """dL/dx = dL/dy · W with the stored weight, straight through the quantizer of x.

    The weight is frozen; the bias gets its gradient. An operator of its own: no compiler can trace what unpacks.
    """
    x = STORED_PRODUCT(gradient, ctx.packed, *ctx.weight, ctx.kernel, False)
    bias = gradient.reshape(-1, gradient.shape[-1]).sum(0) if ctx.has_bias else None
    frozen = [None] * len(ctx.packed)
    return (x, None, None, frozen, bias, None, None, None)


_OPERATORS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "quantize_tokens": (quantize_tokens, _fake_quantize),
    "stored_product": (_stored_product, _fake_stored_product),
    **{_family: (_linear, _fake_linear) for _family in FAMILIES},
}
for _name, (_run, _fake) in _OPERATORS.items():
    # Weights packed by oneDNN dispatch to MkldnnCPU, which this key covers as well.
    LIBRARY.impl(_name, _run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"qprobe::{_name}", _fake, lib=LIBRARY)
for _name in FAMILIES:
    torch.library.register_autograd(
        f"qprobe::{_name}", _input_gradient, setup_context=_keep, lib=LIBRARY
    )

torch.library.register_autograd(
    "qprobe::stored_product", _turned_product, setup_context=_keep_product, lib=LIBRARY
)

QUANTIZE_TOKENS = torch.ops.qprobe.quantize_tokens.default
STORED_PRODUCT = torch.ops.qprobe.stored_product.default
FLOAT_LINEAR = torch.ops.qprobe.float_linear.default
CHANNEL_LINEAR = torch.ops.qprobe.channel_linear.default
GROUP_LINEAR = torch.ops.qprobe.group_linear.default
CODEBOOK_LINEAR = torch.ops.qprobe.codebook_linear.default
