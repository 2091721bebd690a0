"""BERT: an encoder of text."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row

FAMILY = Family(
    model_type="bert",
    base_class="BertModel",
    rows=(
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
    ),
    embeddings=("embeddings.word_embeddings",),
    parts={
        "pooler": "BertModel|MultipleChoice|NextSentence|PreTraining|SequenceClassification",
        "cls.predictions": "LM|PreTraining",
        "cls.seq_relationship": "NextSentence|PreTraining",
        "classifier": "MultipleChoice|SequenceClassification|TokenClassification",
        "qa_outputs": "QuestionAnswering",
    },
    defaults={"tie_word_embeddings": True},
)
