"""Phi and Phi-2: a decoder whose feed-forward has no gate and whose head has a bias."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row
from qprobe.checkpoint.families._rows import DECODER, DECODER_HEADS, DECODER_PARTS, SEPARATE_QKV

FAMILY = Family(
    model_type="phi",
    base_class="PhiModel",
    rows=(
        *SEPARATE_QKV,
        Row("layers.*.self_attn.dense", "attention_output"),
        Row("layers.*.mlp.fc1", "up"),
        Row("layers.*.mlp.fc2", "down"),
        *DECODER_HEADS,
    ),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    stacks=DECODER,
    defaults={"tie_word_embeddings": False},
)
