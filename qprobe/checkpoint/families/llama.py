"""Llama: a decoder with grouped heads and a gated feed-forward."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family
from qprobe.checkpoint.families._rows import DECODER, DECODER_PARTS, LLAMA

FAMILY = Family(
    model_type="llama",
    base_class="LlamaModel",
    rows=LLAMA,
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    stacks=DECODER,
    defaults={"tie_word_embeddings": False},
)
