"""CLIP's encoder of images by itself."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families._family import Family
from qprobe.checkpoint.families.clip import IMAGE_ROWS, IMAGES, lone_tower

FAMILY = Family(
    model_type="clip_vision_model",
    base_class="CLIPVisionModel",
    rows=(*lone_tower("vision", "frames"), *IMAGE_ROWS),
    embeddings=(),
    parts={"visual_projection": "WithProjection"},
    stacks=(replace(IMAGES, section=""),),
    defaults={"tie_word_embeddings": False},
)
