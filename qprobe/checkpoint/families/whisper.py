"""Whisper: an encoder of sound, and a decoder of text."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row, Stack

FAMILY = Family(
    model_type="whisper",
    base_class="WhisperModel",
    rows=(
        Row("encoder.layers.*.self_attn.q_proj", "query", "frames", "qkv", stack="encoder"),
        Row("encoder.layers.*.self_attn.k_proj", "key", "frames", "qkv", stack="encoder"),
        Row("encoder.layers.*.self_attn.v_proj", "value", "frames", "qkv", stack="encoder"),
        Row("encoder.layers.*.self_attn.out_proj", "attention_output", "frames", stack="encoder"),
        Row("encoder.layers.*.fc1", "up", "frames", stack="encoder"),
        Row("encoder.layers.*.fc2", "down", "frames", stack="encoder"),
        Row("decoder.layers.*.self_attn.q_proj", "query", fuses="qkv", stack="decoder"),
        Row("decoder.layers.*.self_attn.k_proj", "key", fuses="qkv", stack="decoder"),
        Row("decoder.layers.*.self_attn.v_proj", "value", fuses="qkv", stack="decoder"),
        Row("decoder.layers.*.self_attn.out_proj", "attention_output", stack="decoder"),
        Row("decoder.layers.*.encoder_attn.q_proj", "query", stack="decoder"),
        Row("decoder.layers.*.encoder_attn.k_proj", "key", "frames", "kv", stack="encoder"),
        Row("decoder.layers.*.encoder_attn.v_proj", "value", "frames", "kv", stack="encoder"),
        Row("decoder.layers.*.encoder_attn.out_proj", "attention_output", stack="decoder"),
        Row("decoder.layers.*.fc1", "up", stack="decoder"),
        Row("decoder.layers.*.fc2", "down", stack="decoder"),
        Row("proj_out", "head", rows="last_token"),
        Row("projector", "other", "frames", stack="encoder"),
        Row("classifier", "other", rows="sequence"),
    ),
    embeddings=("decoder.embed_tokens",),
    parts={
        "encoder": "WhisperModel|ConditionalGeneration|AudioClassification",
        "decoder": "WhisperModel|ConditionalGeneration|CausalLM",
        "proj_out": "ConditionalGeneration|CausalLM",
        "layer_weights": "AudioClassification",
        "projector": "AudioClassification",
        "classifier": "AudioClassification",
    },
    stacks=(
        Stack(
            "encoder",
            keys={
                "num_hidden_layers": "encoder_layers",
                "num_attention_heads": "encoder_attention_heads",
                "intermediate_size": "encoder_ffn_dim",
            },
            frames="max_source_positions",
        ),
        Stack(
            "decoder",
            keys={
                "num_hidden_layers": "decoder_layers",
                "num_attention_heads": "decoder_attention_heads",
                "intermediate_size": "decoder_ffn_dim",
            },
            caches=True,
            crosses=True,
        ),
    ),
    keys={"hidden_size": "d_model", "max_position_embeddings": "max_target_positions"},
    defaults={"tie_word_embeddings": True, "max_source_positions": 1500},
)
