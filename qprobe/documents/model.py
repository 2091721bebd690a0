"""Facts about a model: its linears, and what else takes memory."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qprobe.documents.base import (
    DTYPE_BYTES,
    Count,
    Document,
    Flag,
    FloatDtype,
    Positive,
    TopDocument,
)

Kind = Literal[
    "query", "key", "value", "attention_output", "gate", "up", "down", "head", "pooler", "other"
]
RowRule = Literal["tokens", "last_token", "sequence"]


class Linear(Document):
    """One linear of the checkpoint, y = x · Wᵀ + b with W of shape (N, K)."""

    tensor: str
    """The checkpoint's name of the weight; plans are keyed by it."""
    n: Positive
    k: Positive
    dtype: FloatDtype
    has_bias: Flag
    kind: Kind
    fusion_group: str
    """Linears of one group read the same input and share a scheme; alone, its own tensor."""
    rows: RowRule

    def m(self, batch: int, tokens: int) -> int:
        """Rows of x in a forward pass over `batch` sequences of `tokens` new tokens each."""
        return batch * tokens if self.rows == "tokens" else batch

    def bias_bytes(self, dtype: FloatDtype) -> int:
        """Bytes of the bias, if there is one."""
        return self.n * DTYPE_BYTES[dtype] if self.has_bias else 0


class Model(TopDocument):
    """A checkpoint's architecture, as far as planning needs it."""

    document: Literal["model"] = "model"
    name: str
    architecture: str
    """The class that the config names, such as BertModel."""
    model_type: str
    model_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Of the config and of the headers (names, shapes, types), not of the weights."""
    dtype: FloatDtype
    """As most of the linears are stored."""
    linears: tuple[Linear, ...]
    other_elements: Count
    """Embeddings, norms, biases of others: elements, each counted once."""
    hidden_size: Positive
    intermediate_size: Positive
    attention_heads: Positive
    layers: Positive
    vocab_size: Positive
    max_tokens: Positive | None
    kv_elements_per_token: Count
    """Elements of the KV cache for each token; 0 for an encoder."""
    quantization_config: dict[str, object] | None

    @model_validator(mode="after")
    def _tensors_are_unique(self) -> Model:
        names = [linear.tensor for linear in self.linears]
        twice = (
            sorted({name for name in names if names.count(name) > 1})
            if len(set(names)) < len(names)
            else []
        )
        if twice:
            raise ValueError(f"tensor listed twice: {', '.join(twice)}")
        return self

    def groups(self) -> dict[str, tuple[Linear, ...]]:
        """Fusion group → its linears, in the checkpoint's order."""
        found: dict[str, list[Linear]] = {}
        for linear in self.linears:
            found.setdefault(linear.fusion_group, []).append(linear)
        return {name: tuple(members) for name, members in found.items()}
