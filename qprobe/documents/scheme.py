"""What is stored and the least precise activation allowed, in compressed-tensors' words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qprobe.documents.base import DTYPE_BYTES, Document, FloatDtype


class ChannelWeights(Document):
    """Integer weights with one scale for each output channel."""

    strategy: Literal["channel"] = "channel"
    type: Literal["int"] = "int"
    num_bits: Literal[8]
    symmetric: Literal[True] = True
    dynamic: Literal[False] = False


class CastWeights(Document):
    """Floating-point weights of another precision; no scales."""

    strategy: Literal["cast"] = "cast"
    type: Literal["float"] = "float"
    dtype: Literal["bfloat16", "float16"]


class TokenActivations(Document):
    """Integer activations with one scale for each token (row of x), computed at each call."""

    strategy: Literal["token"] = "token"
    type: Literal["int"] = "int"
    num_bits: Literal[8]
    symmetric: Literal[True] = True
    dynamic: Literal[True] = True


Weights = Annotated[ChannelWeights | CastWeights, Field(discriminator="strategy")]


class Scheme(Document):
    """What a layer stores, and how imprecise its activations may become."""

    name: str
    weights: Weights | None
    input_activations: TokenActivations | None

    @model_validator(mode="after")
    def _preset_means_what_it_says(self) -> Scheme:
        preset = SCHEMES.get(self.name)
        if preset is None:
            known = ", ".join(SCHEMES)
            raise ValueError(f"unknown scheme {self.name!r}; known are {known}")
        if (self.weights, self.input_activations) != (preset.weights, preset.input_activations):
            raise ValueError(f"scheme {self.name!r} is not written as the preset of that name")
        return self

    @property
    def is_quantized(self) -> bool:
        """Whether weights are stored as integers with scales."""
        return isinstance(self.weights, ChannelWeights)

    def weight_bytes(self, n: int, k: int, stored: FloatDtype) -> int:
        """Exact bytes of the canonical tensors of an (N, K) weight, without the bias."""
        match self.weights:
            case None:
                return n * k * DTYPE_BYTES[stored]
            case CastWeights(dtype=dtype):
                return n * k * DTYPE_BYTES[dtype]
            case ChannelWeights(num_bits=bits):
                return n * k * bits // 8 + n * DTYPE_BYTES["float32"]


def _preset(name: str, weights: Weights | None, activations: TokenActivations | None) -> Scheme:
    return Scheme.model_construct(name=name, weights=weights, input_activations=activations)


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        _preset("NONE", None, None),
        _preset("BF16", CastWeights(dtype="bfloat16"), None),
        _preset("W8A16", ChannelWeights(num_bits=8), None),
        _preset("W8A8", ChannelWeights(num_bits=8), TokenActivations(num_bits=8)),
    )
}
"""The presets by name; the least change to the model first."""

ALGORITHMS: dict[str, int] = {"none": 0, "rtn": 127, "rtn_reduce_range": 63}
"""How 8-bit weights are quantized → the largest magnitude of a code that it yields.

`none`: nothing is quantized. `rtn`: round to nearest. `rtn_reduce_range`: round to nearest on 7 bits,
for processors that add pairs of 8-bit products in 16 bits (255 · 63 · 2 < 2¹⁵).
"""
