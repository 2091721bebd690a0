"""Gemma 3, the language model: one layer in six sees everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qprobe.checkpoint.families import gemma2
from qprobe.checkpoint.families._family import Stack


def _slides(layer: int, config: Mapping[str, object]) -> bool:
    pattern = config.get("sliding_window_pattern", 6)
    return not isinstance(pattern, int) or pattern < 1 or (layer + 1) % pattern != 0


FAMILY = replace(
    gemma2.FAMILY,
    model_type="gemma3_text",
    base_class="Gemma3TextModel",
    stacks=(Stack(caches=True, slides=_slides),),
)
