"""ViT: an encoder of images."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row, Stack

_LAYER = "encoder.layer.*"

FAMILY = Family(
    model_type="vit",
    base_class="ViTModel",
    rows=(
        Row(f"{_LAYER}.attention.attention.query", "query", "frames", "qkv", module="layers.*.attention.q_proj"),
        Row(f"{_LAYER}.attention.attention.key", "key", "frames", "qkv", module="layers.*.attention.k_proj"),
        Row(f"{_LAYER}.attention.attention.value", "value", "frames", "qkv", module="layers.*.attention.v_proj"),
        Row(f"{_LAYER}.attention.output.dense", "attention_output", "frames", module="layers.*.attention.o_proj"),
        Row(f"{_LAYER}.intermediate.dense", "up", "frames", module="layers.*.mlp.fc1"),
        Row(f"{_LAYER}.output.dense", "down", "frames", module="layers.*.mlp.fc2"),
        Row("pooler.dense", "pooler", rows="sequence"),
        Row("classifier", "other", rows="sequence"),
    ),
    embeddings=(),
    parts={
        "pooler": "ViTModel",
        "classifier": "ImageClassification",
        "decoder": "MaskedImageModeling",
    },
    stacks=(Stack(frames="image"),),
    keys={"max_position_embeddings": ""},
    defaults={"tie_word_embeddings": False, "vocab_size": 1, "image_size": 224, "patch_size": 16},
)  # fmt: skip
