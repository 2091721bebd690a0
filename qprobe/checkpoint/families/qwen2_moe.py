"""Qwen2-MoE: Qwen2 whose feed-forward is a choice of experts beside one that all share."""

from __future__ import annotations

from collections.abc import Mapping

from qprobe.checkpoint.families._family import Family, Stack
from qprobe.checkpoint.families._rows import (
    ATTENTION,
    DECODER_HEADS,
    DECODER_PARTS,
    EXPERTS,
    GATED_MLP,
    shared_expert,
)


def _slides(layer: int, config: Mapping[str, object]) -> bool:
    first_full = config.get("max_window_layers", 28)
    used = config.get("use_sliding_window") is True
    return used and isinstance(first_full, int) and layer < first_full and layer % 2 == 0


FAMILY = Family(
    model_type="qwen2_moe",
    base_class="Qwen2MoeModel",
    rows=(
        *ATTENTION,
        *GATED_MLP,
        *EXPERTS,
        *shared_expert("shared_expert"),
        *DECODER_HEADS,
    ),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    left_alone=("mlp.gate", "mlp.shared_expert_gate"),
    stacks=(Stack(caches=True, slides=_slides),),
    keys={"num_experts": "num_local_experts|num_experts"},
    defaults={
        "tie_word_embeddings": False,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "num_key_value_heads": 16,
        "sliding_window": 4096,
    },
)
