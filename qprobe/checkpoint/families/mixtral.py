"""Mixtral: Llama whose feed-forward is a choice of experts."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Stack
from qprobe.checkpoint.families._rows import (
    ATTENTION,
    DECODER_HEADS,
    DECODER_PARTS,
    all_layers,
    experts,
)

FAMILY = Family(
    model_type="mixtral",
    base_class="MixtralModel",
    rows=(
        *ATTENTION,
        *experts("layers.*.block_sparse_moe.experts", "w1", "w3", "w2"),
        *DECODER_HEADS,
    ),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    left_alone=("mlp.gate",),
    stacks=(Stack(caches=True, slides=all_layers),),
    keys={"num_experts": "num_experts|num_local_experts"},
    defaults={
        "tie_word_embeddings": False,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
)
