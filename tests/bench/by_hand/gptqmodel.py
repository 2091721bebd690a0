"""GPTQModel: codes of its own packer, run by the layer that its selection gives for the device and the type."""

from __future__ import annotations

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand, own_copy

GROUP = 128


def _layer(linear: nn.Linear, dtype: torch.dtype) -> Call:
    from gptqmodel import BACKEND
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.importer import select_quant_linear

    n, k = linear.weight.shape
    scale = linear.weight.reshape(n, k // GROUP, GROUP).abs().amax(2) / 7
    wide = scale.half().float().repeat_interleave(GROUP, 1)
    plain = own_copy(linear, torch.float32)
    plain.weight.copy_((plain.weight / wide).round().clamp(-8, 7) * wide)
    how = {
        "bits": 4,
        "group_size": GROUP,
        "sym": True,
        "desc_act": False,
        "pack_dtype": torch.int32,
    }
    shape = {"in_features": k, "out_features": n, "bias": True}
    packed = TorchLinear(**how, **shape)
    groups = torch.arange(k, dtype=torch.int32) // GROUP
    packed.pack(plain, scale.half().float(), torch.full_like(scale, 8), g_idx=groups)
    kind = select_quant_linear(**how, dtype=dtype, device=torch.device("cpu"), backend=BACKEND.AUTO)
    layer = kind(**how, **shape)
    layer.load_state_dict(packed.state_dict(), strict=False)
    layer.post_init()
    call: Call = layer.eval().to(dtype)
    return call


HANDS = {"gptqmodel-int4": Hand(_layer)}
