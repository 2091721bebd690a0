"""compressed-tensors: a preset, scales from the weights, compressed, run as transformers runs it."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand, own_copy


def _preset(name: str, linear: nn.Linear, dtype: torch.dtype) -> Call:
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationConfig,
        QuantizationStatus,
        apply_quantization_config,
        preset_name_to_scheme,
    )
    from compressed_tensors.quantization.utils import calculate_qparams

    scheme = preset_name_to_scheme(name, ["Linear"])
    config = QuantizationConfig(
        config_groups={"all": scheme}, quantization_status=QuantizationStatus.FROZEN
    )
    model = nn.Sequential(own_copy(linear, dtype))
    apply_quantization_config(model, config)
    n, k = linear.weight.shape
    groups = linear.weight.reshape(n, -1, scheme.weights.group_size or k)
    scale, _zero = calculate_qparams(groups.amin(2), groups.amax(2), scheme.weights)
    model[0].weight_scale.data.copy_(scale.reshape(model[0].weight_scale.shape))
    ModelCompressor(config).compress_model(model)
    layer: Call = model.eval()  # its first call decompresses the weight
    return layer


HANDS = {
    "compressed-tensors-w4a16": Hand(partial(_preset, "W4A16")),
    "compressed-tensors-w8a8": Hand(partial(_preset, "W8A8")),
}
