"""DistilBERT: a small encoder of text."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row

FAMILY = Family(
    model_type="distilbert",
    base_class="DistilBertModel",
    rows=(
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
    ),
    embeddings=("embeddings.word_embeddings",),
    parts={
        "vocab_transform": "MaskedLM",
        "vocab_layer_norm": "MaskedLM",
        "vocab_projector": "MaskedLM",
        "pre_classifier": "MultipleChoice|SequenceClassification",
        "classifier": "MultipleChoice|SequenceClassification|TokenClassification",
        "qa_outputs": "QuestionAnswering",
    },
    keys={
        "hidden_size": "dim",
        "intermediate_size": "hidden_dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    },
    defaults={"tie_word_embeddings": True},
)
