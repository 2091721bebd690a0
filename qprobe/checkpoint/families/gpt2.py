"""GPT-2: a decoder whose weights are stored transposed (`Conv1D`)."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row
from qprobe.checkpoint.families._rows import DECODER

FAMILY = Family(
    model_type="gpt2",
    base_class="GPT2Model",
    rows=(
        Row("h.*.attn.c_attn", "qkv", transposed=True),
        Row("h.*.attn.c_proj", "attention_output", transposed=True),
        Row("h.*.crossattention.c_attn", "other", transposed=True),
        Row("h.*.crossattention.q_attn", "other", transposed=True),
        Row("h.*.crossattention.c_proj", "other", transposed=True),
        Row("h.*.mlp.c_fc", "up", transposed=True),
        Row("h.*.mlp.c_proj", "down", transposed=True),
        Row("lm_head", "head", rows="last_token"),
        Row("multiple_choice_head.summary", "other", rows="sequence"),
        Row("score", "other"),
        Row("classifier", "other"),
        Row("qa_outputs", "other"),
    ),
    embeddings=("wte",),
    parts={
        "lm_head": "LMHead|DoubleHeads",
        "multiple_choice_head": "DoubleHeads",
        "score": "SequenceClassification",
        "classifier": "TokenClassification",
        "qa_outputs": "QuestionAnswering",
    },
    stacks=DECODER,
    keys={
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "max_position_embeddings": "n_positions",
    },
    defaults={"tie_word_embeddings": True},
    mlp_ratio=4,
    buffers=("h.*.attn.bias", "h.*.attn.masked_bias"),
)
