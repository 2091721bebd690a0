"""Rows that several families share."""

from __future__ import annotations

from collections.abc import Mapping

from qprobe.checkpoint.families._family import Row, Stack

SEPARATE_QKV = (
    Row("layers.*.self_attn.q_proj", "query", fuses="qkv"),
    Row("layers.*.self_attn.k_proj", "key", fuses="qkv"),
    Row("layers.*.self_attn.v_proj", "value", fuses="qkv"),
)
ATTENTION = (*SEPARATE_QKV, Row("layers.*.self_attn.o_proj", "attention_output"))
GATED_MLP = (
    Row("layers.*.mlp.gate_proj", "gate", fuses="gate_up"),
    Row("layers.*.mlp.up_proj", "up", fuses="gate_up"),
    Row("layers.*.mlp.down_proj", "down"),
)
DECODER_HEADS = (
    Row("lm_head", "head", rows="last_token"),
    Row("score", "other"),
    Row("qa_outputs", "other"),
)
DECODER_PARTS = {
    "lm_head": "CausalLM",
    "score": "SequenceClassification|TokenClassification",
    "qa_outputs": "QuestionAnswering",
}
LLAMA = (*ATTENTION, *GATED_MLP, *DECODER_HEADS)
_GATE_UP, _DOWN = "layers.*.mlp.experts.gate_up_proj", "layers.*.mlp.experts.down_proj"


def experts(path: str, gate: str, up: str, down: str) -> tuple[Row, ...]:
    """Experts with a tensor each, and all in one tensor (E, N, K) as transformers 5 holds them."""
    return (
        Row(f"{path}.#.{gate}", "gate", "experts", "gate_up", module=_GATE_UP),
        Row(f"{path}.#.{up}", "up", "experts", "gate_up", module=_GATE_UP),
        Row(f"{path}.#.{down}", "down", "experts", module=_DOWN),
        Row(_GATE_UP, "gate_up", "experts"),
        Row(_DOWN, "down", "experts"),
    )


EXPERTS = experts("layers.*.mlp.experts", "gate_proj", "up_proj", "down_proj")


def shared_expert(name: str) -> tuple[Row, ...]:
    """The expert that every token goes to."""
    return (
        Row(f"layers.*.mlp.{name}.gate_proj", "gate", fuses="gate_up"),
        Row(f"layers.*.mlp.{name}.up_proj", "up", fuses="gate_up"),
        Row(f"layers.*.mlp.{name}.down_proj", "down"),
    )


def all_layers(_layer: int, _config: Mapping[str, object]) -> bool:
    """Every layer slides."""
    return True


def all_layers_if_used(_layer: int, config: Mapping[str, object]) -> bool:
    """Every layer slides where `use_sliding_window` says so."""
    return config.get("use_sliding_window") is True


def last_layers_if_used(layer: int, config: Mapping[str, object]) -> bool:
    """Those from `max_window_layers` on slide where `use_sliding_window` says so."""
    first = config.get("max_window_layers", 28)
    used = config.get("use_sliding_window") is True
    return used and isinstance(first, int) and layer >= first


DECODER = (Stack(caches=True),)
