"""T5: an encoder of the prompt, and a decoder that starts from one token."""

from __future__ import annotations

from collections.abc import Iterator

from qprobe.checkpoint.families._family import Family, Row, Stack
from qprobe.documents.model import Kind, RowRule


def _attention(stack: str, place: str, own: RowRule, source: RowRule) -> Iterator[Row]:
    """The four linears of an attention; k and v see `source`."""
    kinds: tuple[tuple[str, Kind], ...] = (("q", "query"), ("k", "key"), ("v", "value"))
    path = f"{stack}.block.*.layer.{place}"
    fuses = "qkv" if own == source else "kv"
    for name, kind in kinds:
        crosses = own != source
        rows = own if name == "q" else source
        together = "" if crosses and name == "q" else fuses
        yield Row(f"{path}.{name}", kind, rows=rows, fuses=together, stack=stack)
    yield Row(f"{path}.o", "attention_output", rows=own, stack=stack)


def _feed_forward(stack: str, place: str, rows: RowRule) -> Iterator[Row]:
    path = f"{stack}.block.*.layer.{place}.DenseReluDense"
    yield Row(f"{path}.wi", "up", rows=rows, stack=stack)
    yield Row(f"{path}.wi_0", "gate", rows=rows, fuses="gate_up", stack=stack)
    yield Row(f"{path}.wi_1", "up", rows=rows, fuses="gate_up", stack=stack)
    yield Row(f"{path}.wo", "down", rows=rows, stack=stack)


FAMILY = Family(
    model_type="t5",
    base_class="T5Model",
    rows=(
        *_attention("encoder", "*.SelfAttention", "prompt", "prompt"),
        *_feed_forward("encoder", "*", "prompt"),
        *_attention("decoder", "*.SelfAttention", "generated", "generated"),
        *_attention("decoder", "*.EncDecAttention", "generated", "prompt"),
        *_feed_forward("decoder", "*", "generated"),
        Row("lm_head", "head", rows="generated"),
        Row("classification_head.dense", "other", rows="sequence"),
        Row("classification_head.out_proj", "other", rows="sequence"),
        Row("classifier", "other", rows="prompt"),
        Row("qa_outputs", "other", rows="generated"),
    ),
    embeddings=("shared", "encoder.embed_tokens", "decoder.embed_tokens"),
    parts={
        "decoder": "T5Model|ConditionalGeneration|SequenceClassification|QuestionAnswering",
        "lm_head": "ConditionalGeneration",
        "classification_head": "SequenceClassification",
        "classifier": "TokenClassification",
        "qa_outputs": "QuestionAnswering",
    },
    stacks=(
        Stack("encoder"),
        Stack(
            "decoder",
            keys={"num_hidden_layers": "num_decoder_layers|num_layers"},
            caches=True,
            crosses=True,
        ),
    ),
    keys={
        "hidden_size": "d_model",
        "intermediate_size": "d_ff",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
        "max_position_embeddings": "",
    },
    defaults={"d_kv": 64, "tie_word_embeddings": True},
)
