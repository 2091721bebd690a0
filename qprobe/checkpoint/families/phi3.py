"""Phi-3 and Phi-4: Llama with q, k and v in one tensor, gate and up in another."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row, Stack
from qprobe.checkpoint.families._rows import DECODER_HEADS, DECODER_PARTS, all_layers

FAMILY = Family(
    model_type="phi3",
    base_class="Phi3Model",
    rows=(
        Row("layers.*.self_attn.qkv_proj", "qkv"),
        Row("layers.*.self_attn.o_proj", "attention_output"),
        Row("layers.*.mlp.gate_up_proj", "gate_up"),
        Row("layers.*.mlp.down_proj", "down"),
        *DECODER_HEADS,
    ),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    stacks=(Stack(caches=True, slides=all_layers),),
    defaults={"tie_word_embeddings": False},
)
