"""Gemma: Llama with wide heads, tied to its embedding."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families import llama

FAMILY = replace(
    llama.FAMILY,
    model_type="gemma",
    base_class="GemmaModel",
    defaults={"tie_word_embeddings": True, "head_dim": 256, "num_key_value_heads": 16},
)
