"""Qwen2: Llama with biases of q, k and v."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families import llama
from qprobe.checkpoint.families._family import Stack
from qprobe.checkpoint.families._rows import last_layers_if_used

FAMILY = replace(
    llama.FAMILY,
    model_type="qwen2",
    base_class="Qwen2Model",
    stacks=(Stack(caches=True, slides=last_layers_if_used),),
    defaults={"tie_word_embeddings": False, "sliding_window": 4096},
)
