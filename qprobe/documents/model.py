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

Kind = Literal["query", "key", "value", "qkv", "attention_output", "gate", "up", "gate_up", "down",
               "head", "pooler", "other"]  # fmt: skip
RowRule = Literal["tokens", "last_token", "sequence", "generated", "prompt", "context", "frames",
                  "experts"]  # fmt: skip
"""How many rows a linear sees in a forward pass over `batch` sequences.

tokens: every new token. last_token, sequence: one a sequence. generated: the same, of a decoder that
starts from nothing. prompt: every token of the prompt, once a request. context: every token so far, in
each pass, as where keys and values are expanded from a latent cache. frames: a fixed number of
patches or of pieces of sound, once a request. experts: every new token goes to `top_k` of `count`.
"""


class Linear(Document):
    """One linear of the checkpoint, y = x · Wᵀ + b with W of shape (N, K).

    The experts of a layer that share a projection are one entry of `count` matrices.
    """

    tensor: str
    """The checkpoint's name of the weight; plans are keyed by it. Where every expert has a tensor of
    its own, the numbers of the experts stand in braces: experts.{0..255}.up_proj.weight."""
    n: Positive
    k: Positive
    dtype: FloatDtype
    has_bias: Flag
    kind: Kind
    fusion_group: str
    """Linears of one group read the same input and share a scheme; alone, its own tensor."""
    rows: RowRule
    transposed: Flag = False
    """Whether the file holds (K, N), as GPT-2's do."""
    count: Positive = 1
    """How many matrices of (N, K) it stands for: experts."""
    top_k: Positive | None = None
    """For rows of experts: how many of them a token goes to."""
    frames: Positive | None = None
    """For rows of frames: how many there are in a sequence."""

    @model_validator(mode="after")
    def _numbers_belong_to_their_rule(self) -> Linear:
        if (self.top_k is not None) != (self.rows == "experts"):
            raise ValueError(f"top_k is {self.top_k} with rows of {self.rows}")
        if (self.frames is not None) != (self.rows == "frames"):
            raise ValueError(f"frames is {self.frames} with rows of {self.rows}")
        if self.top_k is not None and self.top_k > self.count:
            raise ValueError(f"top_k is {self.top_k} of {self.count} experts")
        if self.count > 1 and self.rows != "experts":
            raise ValueError(f"count is {self.count} with rows of {self.rows}")
        return self

    def m(self, batch: int, tokens: int, *, past: int = 0) -> int:
        """Rows of x in a forward pass over `batch` sequences of `tokens` new tokens each.

        `past` is how many tokens of each earlier passes have read: the prompt, and those generated
        since. 0 where this pass leaves the linear out. For experts it is what each of them sees if
        all are hit alike.
        """
        match self.rows:
            case "tokens":
                return batch * tokens
            case "prompt":
                return 0 if past else batch * tokens
            case "context":
                return batch * (past + tokens)
            case "frames":
                return 0 if past else batch * (self.frames or 1)
            case "experts":
                return -(-batch * tokens * (self.top_k or 1) // self.count)
            case _:
                return batch

    def calls(self, batch: int, tokens: int) -> int:
        """How many of the `count` matrices a pass multiplies: those that any token goes to.

        Tokens are taken to choose evenly and independently of one another.
        """
        if self.top_k is None:
            return 1
        missed: float = (1 - self.top_k / self.count) ** (batch * tokens)
        return round(self.count * (1 - missed))

    def bias_bytes(self, dtype: FloatDtype) -> int:
        """Bytes of the biases, if there are any."""
        return self.count * self.n * DTYPE_BYTES[dtype] if self.has_bias else 0


class KvWindow(Document):
    """Layers whose KV cache holds no more than the last tokens."""

    elements_per_token: Positive
    """Of these layers, of `kv_elements_per_token` in all."""
    tokens: Positive


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
    """Elements of the KV cache for each token, in layers that hold it; 0 for an encoder."""
    quantization_config: dict[str, object] | None
    kv_windows: tuple[KvWindow, ...] = ()
    """The layers of the KV cache that hold only the last tokens."""
    cross_kv_elements_per_token: Count = 0
    """Elements of the cache that a decoder keeps for each token of the encoder."""
    encoder_frames: Positive | None = None
    """Tokens that an encoder of images or sound makes of a sequence; None: it has none such."""

    def kv_elements(self, prompt: int, generate: int) -> int:
        """Elements that the caches of one sequence hold after a request.

        With an encoder of text the prompt is the encoder's and the decoder starts from one token.
        """
        reads_apart = self.cross_kv_elements_per_token > 0 and self.encoder_frames is None
        tokens = generate + (1 if reads_apart else prompt)
        beyond = sum(
            window.elements_per_token * max(0, tokens - window.tokens) for window in self.kv_windows
        )
        source = prompt if self.encoder_frames is None else self.encoder_frames
        crossed = self.cross_kv_elements_per_token * source
        return self.kv_elements_per_token * tokens - beyond + crossed

    @property
    def linear_weights(self) -> int:
        """Elements of the weights of all linears, of every expert."""
        return sum(linear.count * linear.n * linear.k for linear in self.linears)

    @property
    def reads_only_text(self) -> bool:
        """Whether token ids are all that a forward pass takes: no image, no sound, no decoder's start."""
        return self.encoder_frames is None and self.cross_kv_elements_per_token == 0

    def prefill_tokens(self, prompt: int) -> int:
        """Tokens of a sequence that are live at once where a prompt is read."""
        return max(prompt, self.encoder_frames or 0)

    @model_validator(mode="after")
    def _windows_are_of_the_cache(self) -> Model:
        inside = sum(window.elements_per_token for window in self.kv_windows)
        if inside > self.kv_elements_per_token:
            raise ValueError(
                f"kv_windows: {inside} elements a token, of {self.kv_elements_per_token} in all"
            )
        return self

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
