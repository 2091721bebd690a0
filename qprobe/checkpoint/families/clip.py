"""CLIP: an encoder of text and one of images, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from qprobe.checkpoint.families._family import Family, Row, Stack
from qprobe.documents.model import Kind, RowRule


def tower(name: str, rows: RowRule, prefix: str, module: str = "") -> Iterator[Row]:
    """The linears of one encoder; `module` is what a live model may have for the prefix."""

    def row(layer: str, kind: Kind, fuses: str = "") -> Row:
        other = module and module + layer
        return Row(prefix + layer, kind, rows, fuses, stack=name, module=other)

    yield row("self_attn.q_proj", "query", "qkv")
    yield row("self_attn.k_proj", "key", "qkv")
    yield row("self_attn.v_proj", "value", "qkv")
    yield row("self_attn.out_proj", "attention_output")
    yield row("mlp.fc1", "up")
    yield row("mlp.fc2", "down")


def lone_tower(name: str, rows: RowRule) -> Iterator[Row]:
    """The linears of an encoder by itself: with its name before them or, later, without."""
    bare = "encoder.layers.*."
    yield from tower(name, rows, f"{name}_model.{bare}", bare)
    yield from tower(name, rows, bare)


TEXT_ROWS = (Row("text_projection", "other", rows="sequence"),)
IMAGE_ROWS = (
    Row("visual_projection", "other", rows="sequence"),
    Row("classifier", "other", rows="sequence"),
)
TEXT = Stack(
    "text",
    section="text_config",
    defaults={
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
    },
)
IMAGES = Stack(
    "vision",
    section="vision_config",
    keys={"max_position_embeddings": ""},
    defaults={
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
        "vocab_size": 1,
    },
    frames="image",
)
FAMILY = Family(
    model_type="clip",
    base_class="CLIPModel",
    rows=(
        *tower("text", "tokens", "text_model.encoder.layers.*."),
        *tower("vision", "frames", "vision_model.encoder.layers.*."),
        *TEXT_ROWS,
        *IMAGE_ROWS,
    ),
    embeddings=("text_model.embeddings.token_embedding",),
    parts={
        "text_model": "CLIPModel",
        "text_projection": "CLIPModel",
        "visual_projection": "CLIPModel",
        "logit_scale": "CLIPModel",
        "classifier": "ImageClassification",
    },
    stacks=(TEXT, IMAGES),
    defaults={"tie_word_embeddings": False},
)
