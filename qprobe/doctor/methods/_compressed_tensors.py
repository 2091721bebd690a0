"""What the methods of compressed-tensors share: a preset on one layer, compressed, then run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import nn

NEEDS = ("torch", "compressed-tensors")


def load_compressed_tensors() -> None:
    """Import what every preset needs."""
    import compressed_tensors.compressors
    import compressed_tensors.quantization  # noqa: F401


def compressed(preset: str, linear: nn.Linear, dtype: torch.dtype) -> Made:
    """A copy of the layer in `dtype` under a preset, compressed as it is stored.

    The first forward pass decompresses it: what runs then is a product of the whole weight.
    """
    import torch
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationConfig,
        QuantizationStatus,
        apply_quantization_config,
        preset_name_to_scheme,
    )
    from torch import nn

    from qprobe.doctor.scripts.codes import dequantize, group_codes
    from qprobe.doctor.scripts.layer import copy_linear

    scheme = preset_name_to_scheme(preset, ["Linear"])
    bits = scheme.weights.num_bits
    group = scheme.weights.group_size or linear.in_features
    codes, scale = group_codes(linear.weight, bits, group)
    scale = scale.to(dtype)
    stored = dequantize(codes, scale.float())
    model: Any = nn.Sequential(copy_linear(linear, dtype))
    config = QuantizationConfig(
        config_groups={"group_0": scheme}, quantization_status=QuantizationStatus.FROZEN
    )
    apply_quantization_config(model, config)
    model[0].weight_scale.data = scale.reshape(model[0].weight_scale.shape).contiguous()
    model[0].weight.data = stored.to(dtype)
    ModelCompressor(config).compress_model(model)
    if next(iter(model[0].state_dict())) == "weight" and model[0].weight.dtype == dtype:
        raise ValueError("it leaves the layer as it was")
    with torch.no_grad():
        model(torch.zeros(1, linear.in_features, dtype=dtype, device=linear.weight.device))
    return Made(model, model[0].weight.detach().float())
