"""How much each scheme hurts each layer, and how much of that reaches the model's output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qprobe.documents.base import Count, Document, Positive, TopDocument
from qprobe.documents.scheme import ActivationType

Method = Literal["prior", "weights", "calibrated", "end_to_end"]
Power = Annotated[float, Field(ge=0, strict=True)]


class LayerNoise(Document):
    """Noise-to-signal power ‖y−ŷ‖²/‖y‖² at one layer's output under one scheme."""

    tensor: str
    scheme: str
    algorithm: str
    noise: Power


class GroupGain(Document):
    """How much of a group's noise power reaches the model's output.

    The relative error power at the output is `gain` × the mean noise of the group's layers.
    None: the group's output does not reach the output that is compared.
    """

    group: str
    gain: Power | None
    activations: ActivationType | None = None
    """For schemes that round activations to this type, which concerns other features and tokens than
    rounded weights do. None: for those that leave them, and all others of which nothing is said."""


class UniformError(Document):
    """Error power ‖y−ŷ‖²/‖y‖² at the model's output with every group under one scheme, measured."""

    scheme: str
    algorithm: str
    compute_dtype: str
    power: Power


class Sensitivity(TopDocument):
    """Squares, which add: a plan's error power is the sum over its groups."""

    document: Literal["sensitivity"] = "sensitivity"
    model_hash: str
    method: Method
    data_hash: str
    tokens: Count
    """Calibration tokens; 0 for a prior."""
    metric: Literal["logits", "last_hidden_state"]
    noise_floor: Power | None
    """Error power of casting the whole model to bf16, on the same data."""
    layers: tuple[LayerNoise, ...]
    gains: tuple[GroupGain, ...]
    uniform: tuple[UniformError, ...]
    batches: Positive = 1
