"""What the known architectures call their linears: a table, one row per name pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from qprobe.documents.model import Kind, RowRule


@dataclass(frozen=True)
class Row:
    """Linears of one name; `*` stands for a number, and any prefix may come before."""

    pattern: str
    kind: Kind
    rows: RowRule = "tokens"
    fuses: str = ""
    """Last part of the fusion group's name; empty: the linear stands alone."""
    only: str = ""
    """Holds only for classes whose name contains this."""


@dataclass(frozen=True)
class Family:
    """What planning must know of the models of one `model_type`."""

    base_class: str
    rows: tuple[Row, ...]
    embedding: str
    """Pattern of the input embedding, to which a head may be tied."""
    has_kv_cache: bool
    keys: Mapping[str, str] = field(default_factory=dict)
    """Our field → what config.json calls it, where it is not transformers' usual name."""
    defaults: Mapping[str, int | bool] = field(default_factory=dict)
    """Field of config.json → its value where it is left out."""
    reserved_positions: int = 0
    """Position embeddings that no token uses."""


_BERT_ROWS = (
    Row("encoder.layer.*.attention.self.query", "query", fuses="qkv"),
    Row("encoder.layer.*.attention.self.key", "key", fuses="qkv"),
    Row("encoder.layer.*.attention.self.value", "value", fuses="qkv"),
    Row("encoder.layer.*.attention.output.dense", "attention_output"),
    Row("encoder.layer.*.intermediate.dense", "up"),
    Row("encoder.layer.*.output.dense", "down"),
    Row("pooler.dense", "pooler", rows="sequence"),
    Row("cls.predictions.transform.dense", "other"),
    Row("cls.predictions.decoder", "head"),
    Row("cls.seq_relationship", "other", rows="sequence"),
    Row("lm_head.dense", "other"),
    Row("lm_head.decoder", "head"),
    Row("classifier", "other", only="TokenClassification"),
    Row("classifier", "other", rows="sequence"),
    Row("classifier.dense", "other", rows="sequence"),
    Row("classifier.out_proj", "other", rows="sequence"),
    Row("qa_outputs", "other"),
)

_DISTILBERT_ROWS = (
    Row("transformer.layer.*.attention.q_lin", "query", fuses="qkv"),
    Row("transformer.layer.*.attention.k_lin", "key", fuses="qkv"),
    Row("transformer.layer.*.attention.v_lin", "value", fuses="qkv"),
    Row("transformer.layer.*.attention.out_lin", "attention_output"),
    Row("transformer.layer.*.ffn.lin1", "up"),
    Row("transformer.layer.*.ffn.lin2", "down"),
    Row("vocab_transform", "other"),
    Row("vocab_projector", "head"),
    Row("pre_classifier", "other", rows="sequence"),
    Row("classifier", "other", only="TokenClassification"),
    Row("classifier", "other", rows="sequence"),
    Row("qa_outputs", "other"),
)

_LLAMA_ROWS = (
    Row("layers.*.self_attn.q_proj", "query", fuses="qkv"),
    Row("layers.*.self_attn.k_proj", "key", fuses="qkv"),
    Row("layers.*.self_attn.v_proj", "value", fuses="qkv"),
    Row("layers.*.self_attn.o_proj", "attention_output"),
    Row("layers.*.mlp.gate_proj", "gate", fuses="gate_up"),
    Row("layers.*.mlp.up_proj", "up", fuses="gate_up"),
    Row("layers.*.mlp.down_proj", "down"),
    Row("lm_head", "head", rows="last_token"),
    Row("score", "other"),
    Row("qa_outputs", "other"),
)

_BERT = Family(
    base_class="BertModel",
    rows=_BERT_ROWS,
    embedding="embeddings.word_embeddings",
    has_kv_cache=False,
    defaults={"tie_word_embeddings": True},
)
_LLAMA = Family(
    base_class="LlamaModel",
    rows=_LLAMA_ROWS,
    embedding="embed_tokens",
    has_kv_cache=True,
    defaults={"tie_word_embeddings": False},
)

FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": replace(_BERT, base_class="RobertaModel", reserved_positions=2),
    "distilbert": replace(
        _BERT,
        base_class="DistilBertModel",
        rows=_DISTILBERT_ROWS,
        keys={
            "hidden_size": "dim",
            "intermediate_size": "hidden_dim",
            "num_attention_heads": "n_heads",
            "num_hidden_layers": "n_layers",
        },
    ),
    "llama": _LLAMA,
    "mistral": replace(
        _LLAMA,
        base_class="MistralModel",
        defaults={"tie_word_embeddings": False, "num_key_value_heads": 8},
    ),
    "qwen2": replace(_LLAMA, base_class="Qwen2Model"),
    "qwen3": replace(
        _LLAMA,
        base_class="Qwen3Model",
        defaults={"tie_word_embeddings": False, "head_dim": 128},
    ),
}
"""`model_type` of config.json → what is known of it."""


def find_row(family: Family, architecture: str, tensor: str) -> Row | None:
    """The first row that describes this weight, or None where it is no linear of the table."""
    for row in family.rows:
        if row.only in architecture and _regex(row.pattern).fullmatch(tensor):
            return row
    return None


def is_embedding(family: Family, tensor: str) -> bool:
    """Whether this is the weight of the input embedding."""
    return _regex(family.embedding).fullmatch(tensor) is not None


def group_of(row: Row, tensor: str) -> str:
    """The fusion group's name: the parent module's and what is fused, or the tensor's own."""
    if not row.fuses:
        return tensor
    parent = tensor.removesuffix(".weight").rpartition(".")[0]
    return f"{parent}.{row.fuses}"


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    body = re.escape(pattern).replace(r"\*", r"\d+")
    return re.compile(rf"(?:\w+\.)*{body}\.weight", re.ASCII)
