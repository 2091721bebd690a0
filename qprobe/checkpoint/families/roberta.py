"""RoBERTa: BERT with positions that start at 2."""

from __future__ import annotations

from dataclasses import replace

from qprobe.checkpoint.families import bert

FAMILY = replace(
    bert.FAMILY,
    model_type="roberta",
    base_class="RobertaModel",
    reserved_positions=2,
    parts={
        "pooler": "RobertaModel|MultipleChoice",
        "lm_head": "LM",
        "classifier": "MultipleChoice|SequenceClassification|TokenClassification",
        "qa_outputs": "QuestionAnswering",
    },
)
