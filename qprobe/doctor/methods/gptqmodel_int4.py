"""GPTQModel's int4 layer, by the kernel that it chooses itself for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method

if TYPE_CHECKING:
    import torch
    from torch import nn

GROUP, BITS = 128, 4


def _load() -> None:
    import gptqmodel  # noqa: F401


def _compile() -> None:
    """A layer of each type, packed and run once: GPTQModel builds C++ operators for both."""
    import torch

    from qprobe.doctor.scripts.layer import make_linear

    with torch.no_grad():
        for dtype in (torch.float16, torch.bfloat16):
            _make(make_linear(GROUP, GROUP, "cpu"), dtype).run(torch.zeros(1, GROUP, dtype=dtype))


def _make(linear: nn.Linear, dtype: torch.dtype) -> Made:
    """Packed by its PyTorch layer, which every version has, and run by the one that it selects."""
    import torch
    from gptqmodel import BACKEND
    from gptqmodel.nn_modules.qlinear import torch as packing
    from gptqmodel.utils.importer import select_quant_linear

    from qprobe.doctor.scripts.codes import dequantize, group_codes
    from qprobe.doctor.scripts.layer import copy_linear

    codes, scale = group_codes(linear.weight.cpu(), BITS, GROUP)
    scale = scale.half().float()
    stored = dequantize(codes, scale)
    plain = copy_linear(linear, torch.float32).cpu()
    plain.weight.data = stored
    plain.bias.data = linear.bias.detach().cpu().half().float()
    shape: dict[str, Any] = {
        "bits": BITS, "group_size": GROUP, "sym": True, "desc_act": False,
        "in_features": linear.in_features, "out_features": linear.out_features,
        "bias": True, "pack_dtype": torch.int32,
    }  # fmt: skip
    # Renamed in version 6.
    packer = getattr(packing, "TorchLinear", None) or packing.TorchQuantLinear
    packed = packer(**shape)
    zeros = torch.full_like(scale, 2 ** (BITS - 1))
    groups = torch.arange(linear.in_features, dtype=torch.int32) // GROUP
    packed.pack(plain, scale, zeros, g_idx=groups)
    chosen = select_quant_linear(
        bits=BITS, group_size=GROUP, desc_act=False, sym=True, dtype=dtype,
        device=linear.weight.device, backend=BACKEND.AUTO, pack_dtype=torch.int32,
    )  # fmt: skip
    layer = chosen(**shape)
    layer.load_state_dict(packed.state_dict(), strict=False)
    layer = layer.to(linear.weight.device).eval()
    layer.post_init()
    return Made(layer.to(dtype), stored.to(linear.weight.device))


METHOD = Method(
    id="gptqmodel-int4",
    title="GPTQModel, 4 bits",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="gptqmodel",
        load=_load,
        compile=_compile,
        make=_make,
        dtypes=("float16", "bfloat16"),
        weight_error=0.16,
    ),
    needs=("torch", "gptqmodel"),
    apart=True,
)
