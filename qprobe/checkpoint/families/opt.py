"""OPT: a decoder whose feed-forward has no gate."""

from __future__ import annotations

from qprobe.checkpoint.families._family import Family, Row
from qprobe.checkpoint.families._rows import DECODER, DECODER_HEADS, DECODER_PARTS, SEPARATE_QKV

FAMILY = Family(
    model_type="opt",
    base_class="OPTModel",
    rows=(
        *SEPARATE_QKV,
        Row("layers.*.self_attn.out_proj", "attention_output"),
        Row("layers.*.fc1", "up"),
        Row("layers.*.fc2", "down"),
        Row("project_in", "other"),
        Row("project_out", "other"),
        *DECODER_HEADS,
    ),
    embeddings=("embed_tokens",),
    parts=DECODER_PARTS,
    stacks=DECODER,
    keys={"intermediate_size": "ffn_dim"},
    defaults={"tie_word_embeddings": True},
)
