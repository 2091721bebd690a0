"""Mistral: Llama with a sliding window in every layer, where config.json has one."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families import llama
from qprobe.checkpoint.families._family import Stack
from qprobe.checkpoint.families._rows import all_layers

FAMILY = replace(
    llama.FAMILY,
    model_type="mistral",
    base_class="MistralModel",
    stacks=(Stack(caches=True, slides=all_layers),),
    defaults={"tie_word_embeddings": False, "num_key_value_heads": 8, "sliding_window": 4096},
)
