"""How schemes are told apart in charts: a family has a colour and a shape."""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.documents.scheme import (
    SCHEMES,
    CastWeights,
    ChannelWeights,
    CodebookWeights,
    GroupWeights,
)


@dataclass(frozen=True, slots=True)
class Family:
    """Schemes that are drawn alike."""

    look: str
    shape: str
    label: str


AS_STORED = Family("stored", "circle", "not quantized")
CAST = Family("cast", "square", "cast to 16 bits")
INT8_WEIGHTS = Family("w8", "up", "8-bit weights")
INT8_BOTH = Family("w8a8", "diamond", "8-bit weights and activations")
FLOAT8 = Family("fp8", "hexagon", "float8")
INT4_WEIGHTS = Family("w4", "down", "4-bit weights")
CODEBOOK = Family("nf4", "cross", "4-bit NormalFloat")

FAMILIES = (AS_STORED, CAST, INT8_WEIGHTS, INT8_BOTH, FLOAT8, INT4_WEIGHTS, CODEBOOK)


def family_of(scheme: str) -> Family:
    """The family of a scheme by its name; names of whole plans, such as FP32, are of the first."""
    known = SCHEMES.get(scheme)
    if known is None:
        return AS_STORED
    match known.weights:
        case None:
            return AS_STORED
        case CastWeights():
            return CAST
        case ChannelWeights(type="float"):
            return FLOAT8
        case ChannelWeights():
            return INT8_WEIGHTS if known.input_activations is None else INT8_BOTH
        case GroupWeights():
            return INT4_WEIGHTS
        case CodebookWeights():
            return CODEBOOK
