"""Gemma 2: Gemma in which every other layer slides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qprobe.checkpoint.families import gemma
from qprobe.checkpoint.families._family import Stack


def _slides(layer: int, _config: Mapping[str, object]) -> bool:
    return layer % 2 == 0


FAMILY = replace(
    gemma.FAMILY,
    model_type="gemma2",
    base_class="Gemma2Model",
    stacks=(Stack(caches=True, slides=_slides),),
    defaults={
        "tie_word_embeddings": True,
        "head_dim": 256,
        "num_key_value_heads": 4,
        "sliding_window": 4096,
    },
)
