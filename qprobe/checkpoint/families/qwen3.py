"""Qwen3: Qwen2 with heads of their own width."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families import qwen2

FAMILY = replace(
    qwen2.FAMILY,
    model_type="qwen3",
    base_class="Qwen3Model",
    defaults={"tie_word_embeddings": False, "head_dim": 128, "sliding_window": 4096},
)
