"""DeepSeek-V3: latent attention, and experts from the fourth layer on.

Its cache is taken to hold the latent vectors, as engines and current releases of transformers have
it. Release 5.0.0 caches the keys and values that they expand to: of these sizes 71 times as much,
and `kv_b_proj` then sees new tokens only. A plan for it counts too little memory.
"""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row, Stack
from qprobe.checkpoint.families._rows import (
    DECODER_HEADS,
    DECODER_PARTS,
    EXPERTS,
    GATED_MLP,
    shared_expert,
)

FAMILY = Family(
    model_type="deepseek_v3",
    base_class="DeepseekV3Model",
    rows=(
        Row("layers.*.self_attn.q_a_proj", "other", fuses="qkv_a"),
        Row("layers.*.self_attn.kv_a_proj_with_mqa", "other", fuses="qkv_a"),
        Row("layers.*.self_attn.q_proj", "query"),
        Row("layers.*.self_attn.q_b_proj", "query"),
        Row("layers.*.self_attn.kv_b_proj", "other", rows="context"),
        Row("layers.*.self_attn.o_proj", "attention_output"),
        *GATED_MLP,
        *EXPERTS,
        *shared_expert("shared_experts"),
        *DECODER_HEADS,
    ),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    left_alone=("mlp.gate",),
    stacks=(Stack(caches=True, latent=True),),
    keys={"num_experts": "num_local_experts|n_routed_experts"},
    defaults={
        "tie_word_embeddings": False,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
    },
    has_extra_layers=True,
)
