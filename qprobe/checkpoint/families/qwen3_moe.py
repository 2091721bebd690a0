"""Qwen3-MoE: Qwen3 whose feed-forward is a choice of experts."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Stack
from qprobe.checkpoint.families._rows import (
    ATTENTION,
    DECODER_HEADS,
    DECODER_PARTS,
    EXPERTS,
    GATED_MLP,
    all_layers_if_used,
)

FAMILY = Family(
    model_type="qwen3_moe",
    base_class="Qwen3MoeModel",
    rows=(*ATTENTION, *GATED_MLP, *EXPERTS, *DECODER_HEADS),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    left_alone=("mlp.gate",),
    stacks=(Stack(caches=True, slides=all_layers_if_used),),
    keys={"num_experts": "num_local_experts|num_experts"},
    defaults={
        "tie_word_embeddings": False,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 4,
        "sliding_window": 4096,
    },
)
