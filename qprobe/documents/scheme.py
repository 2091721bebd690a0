"""What is stored and the least precise activation allowed, in compressed-tensors' words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Tag, model_validator

from qprobe.documents.base import DTYPE_BYTES, Document, FloatDtype

FULL_RANGE = 127
REDUCED_RANGE = 63
"""255 · 63 · 2 < 2¹⁵: what processors that add pairs of 8-bit products in 16 bits multiply exactly."""
CODE_BITS_PER_WORD = 32


class ChannelWeights(Document):
    """8-bit weights, integer or floating point, with one scale for each output channel."""

    strategy: Literal["channel"] = "channel"
    type: Literal["int", "float"]
    num_bits: Literal[8]
    symmetric: Literal[True] = True
    dynamic: Literal[False] = False


class GroupWeights(Document):
    """4-bit integer weights with one scale, and a zero point or none, for each group along K."""

    strategy: Literal["group"] = "group"
    type: Literal["int"] = "int"
    num_bits: Literal[4]
    symmetric: bool
    group_size: Literal[32, 64, 128]
    dynamic: Literal[False] = False


class CodebookWeights(Document):
    """4-bit indices into the 16 values of NormalFloat, with the largest magnitude of each block."""

    strategy: Literal["codebook"] = "codebook"
    type: Literal["nf4"] = "nf4"
    num_bits: Literal[4]
    block_size: Literal[64]


class CastWeights(Document):
    """Floating-point weights of another precision; no scales."""

    strategy: Literal["cast"] = "cast"
    type: Literal["float"] = "float"
    dtype: Literal["bfloat16", "float16"]


ActivationType = Literal["int", "float"]


class TokenActivations(Document):
    """8-bit activations with one scale for each token (row of x), computed at each call."""

    strategy: Literal["token"] = "token"
    type: ActivationType
    num_bits: Literal[8]
    symmetric: Literal[True] = True
    dynamic: Literal[True] = True


def _strategy(value: object) -> object:
    return value.get("strategy") if isinstance(value, dict) else getattr(value, "strategy", None)


Weights = Annotated[
    Annotated[ChannelWeights, Tag("channel")]
    | Annotated[GroupWeights, Tag("group")]
    | Annotated[CodebookWeights, Tag("codebook")]
    | Annotated[CastWeights, Tag("cast")],
    Discriminator(_strategy),
]


def check_name(name: str) -> str:
    """The name of a preset; raises ValueError for another, as validators do."""
    if name not in SCHEMES:
        raise ValueError(f"unknown scheme {name!r}; known are {', '.join(SCHEMES)}")
    return name


class Scheme(Document):
    """What a layer stores, and how imprecise its activations may become."""

    name: str
    weights: Weights | None
    input_activations: TokenActivations | None

    @model_validator(mode="after")
    def _preset_means_what_it_says(self) -> Scheme:
        preset = SCHEMES[check_name(self.name)]
        if (self.weights, self.input_activations) != (preset.weights, preset.input_activations):
            raise ValueError(f"scheme {self.name!r} is not written as the preset of that name")
        return self

    @property
    def activations(self) -> ActivationType | None:
        """What activations are rounded to; None: they stay as they are."""
        return self.input_activations.type if self.input_activations else None

    @property
    def is_quantized(self) -> bool:
        """Whether weights are stored as codes with scales."""
        return not isinstance(self.weights, CastWeights | None)

    @property
    def block(self) -> int:
        """Weights along K that share a scale and may not be cut; 1 where there is no such thing."""
        match self.weights:
            case GroupWeights(group_size=size) | CodebookWeights(block_size=size):
                return size
            case _:
                return 1

    @property
    def algorithms(self) -> Mapping[str, int]:
        """How weights can be quantized → the largest integer code that it yields (0: none).

        `none`: nothing is quantized. `rtn`: round to nearest. `mse`: round to nearest with the scale
        of the least squared error. `rtn_reduce_range`: round to nearest on 7 bits, for processors
        that add pairs of 8-bit products in 16 bits. Of those with the same code, the first is the
        one to choose: clipping gains nothing with 8 bits, much with 4, and NormalFloat is what its
        users know without it.
        """
        match self.weights:
            case ChannelWeights(type="int"):
                return {"rtn": FULL_RANGE, "mse": FULL_RANGE, "rtn_reduce_range": REDUCED_RANGE}
            case ChannelWeights():
                return {"rtn": 0, "mse": 0}
            case GroupWeights():
                return {"mse": 8, "rtn": 8}
            case CodebookWeights():
                return {"rtn": 0, "mse": 0}
            case _:
                return {"none": 0}

    def choose_algorithm(self, limit: int | None) -> str | None:
        """The algorithm with the largest codes up to `limit` (None: any); None where none yields them."""
        codes = {a: code for a, code in self.algorithms.items() if limit is None or code <= limit}
        return max(codes, key=lambda algorithm: codes[algorithm], default=None)

    def quick_algorithm(self, algorithm: str) -> str:
        """The one that takes least time of those with codes as large: how fast they are multiplied is the same."""
        same = self.algorithms.get("rtn") == self.algorithms[algorithm]
        return "rtn" if same else algorithm

    def objection(self, n: int, k: int) -> str:
        """Why a weight (N, K) cannot be stored this way; "" if it can."""
        if k % self.block:
            return f"K = {k} is not a multiple of the {self.block} weights that share a scale"
        return ""

    def weight_bytes(self, n: int, k: int, stored: FloatDtype) -> int:
        """Exact bytes of the canonical tensors of an (N, K) weight, without the bias."""
        single = DTYPE_BYTES["float32"]
        match self.weights:
            case None:
                return n * k * DTYPE_BYTES[stored]
            case CastWeights(dtype=dtype):
                return n * k * DTYPE_BYTES[dtype]
            case ChannelWeights():
                return n * k + n * single
            case GroupWeights(symmetric=symmetric):
                groups = k // self.block
                points = 0 if symmetric else _words(n) * groups
                shape = 2 * 8  # two 64-bit integers
                return 4 * (n * _words(k) + points) + n * groups * DTYPE_BYTES["bfloat16"] + shape
            case CodebookWeights():
                return n * k // 2 + n * (k // self.block) * single


def _words(codes: int) -> int:
    """32-bit words that hold so many 4-bit codes."""
    return -(-codes * 4 // CODE_BITS_PER_WORD)


def _preset(name: str, weights: Weights | None, activations: TokenActivations | None) -> Scheme:
    return Scheme.model_construct(name=name, weights=weights, input_activations=activations)


def _groups(size: Literal[32, 64, 128], *, symmetric: bool = True) -> GroupWeights:
    return GroupWeights(num_bits=4, symmetric=symmetric, group_size=size)


_INT8 = ChannelWeights(type="int", num_bits=8)

SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        _preset("NONE", None, None),
        _preset("BF16", CastWeights(dtype="bfloat16"), None),
        _preset("FP16", CastWeights(dtype="float16"), None),
        _preset("W8A16", _INT8, None),
        _preset("W8A8", _INT8, TokenActivations(type="int", num_bits=8)),
        _preset(
            "FP8_DYNAMIC",
            ChannelWeights(type="float", num_bits=8),
            TokenActivations(type="float", num_bits=8),
        ),
        _preset("W4A16_G32", _groups(32), None),
        _preset("W4A16_G64", _groups(64), None),
        _preset("W4A16_ASYM", _groups(128, symmetric=False), None),
        _preset("W4A16", _groups(128), None),
        _preset("NF4", CodebookWeights(num_bits=4, block_size=64), None),
    )
}
"""The presets by name; the least change to the model first."""
