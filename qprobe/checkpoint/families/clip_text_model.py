"""CLIP's encoder of text by itself."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families._family import Family
from qprobe.checkpoint.families.clip import TEXT, TEXT_ROWS, lone_tower

FAMILY = Family(
    model_type="clip_text_model",
    base_class="CLIPTextModel",
    rows=(*lone_tower("text", "tokens"), *TEXT_ROWS),
    embeddings=("embeddings.token_embedding",),
    parts={"text_projection": "WithProjection"},
    stacks=(replace(TEXT, section=""),),
    defaults={"tie_word_embeddings": False},
)
