"""What the kernels that oneDNN computes have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import ZERO_POINTS
from qprobe.kernels.int8_self_test import int8_self_test
from qprobe.kernels.torch_cpu._rows import finish_rows

SATURATING_MAX_CODE = 64
"""255 · 64 · 2 < 2¹⁵: pairs of products fit the 16 bits that processors without VNNI add them in."""


def onednn_absent(_device: str) -> str:
    """Why oneDNN cannot be used at all; "" if it can."""
    if not torch.backends.mkldnn.is_available():
        return "this torch was built without oneDNN"
    return ""


def int8_absent(device: str) -> str:
    """Why oneDNN's int8 product cannot be trusted here, by the self-test; "" if it can."""
    if words := onednn_absent(device):
        return words
    test = int8_self_test()
    return (
        ""
        if test.outcome in ("exact", "saturates")
        else f"the int8 self-test {test.outcome}: {test.words}"
    )


def int8_max_code() -> int | None:
    """The largest weight code that is multiplied exactly here; None: any."""
    return SATURATING_MAX_CODE if int8_self_test().outcome == "saturates" else None


def pack_int8(tensors: dict[str, Tensor], _spec: LayerSpec) -> Sequence[Tensor]:
    """Codes in oneDNN's layout (K, N), scales (N,) float32, and the zero point, which is 0."""
    packed = torch.ops.onednn.qlinear_prepack(tensors["weight"].contiguous(), None)
    zero_point = torch.zeros(1, dtype=torch.int64, device="cpu")
    return packed, tensors["weight_scale"].reshape(-1), zero_point


def unpack_int8(packed: Sequence[Tensor], _spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors, bit for bit."""
    return {
        "weight": packed[0].to_dense().t().contiguous(),
        "weight_scale": packed[1].reshape(-1, 1),
    }


def run_int8(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    """OneDNN's qlinear takes one scale for all of x: run it with 1 and scale the rows after."""
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    zero_point = ZERO_POINTS["uint8" if x.dtype == torch.uint8 else "int8"]
    weight, scale, weight_zero_point = packed
    rows = x.reshape(-1, x.shape[-1])  # With more dimensions, empty inputs come back misshapen.
    y: Tensor = torch.ops.onednn.qlinear_pointwise.default(
        rows,
        1.0,
        zero_point,
        weight,
        scale,
        weight_zero_point,
        None,
        1.0,
        0,
        torch.float32,
        "none",
        [],
        "",
    )
    return finish_rows(y, x_scale, bias, x.shape[:-1], out_dtype)
