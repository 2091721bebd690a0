"""What was applied or verified: error, seconds and bytes, before and after."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qprobe.documents.base import (
    Count,
    Document,
    Flag,
    FloatDtype,
    Positive,
    Quantity,
    Seconds,
    TopDocument,
)
from qprobe.documents.machine import Fingerprint

Error = Annotated[float, Field(ge=0, strict=True)]


class LayerReceipt(Document):
    """What one layer became."""

    tensor: str
    scheme: str
    algorithm: str
    kernels: tuple[str, ...]
    weight_bytes_before: Count
    weight_bytes_after: Count
    weight_error: Error
    """‖W−Ŵ‖/‖W‖ of the stored weight."""


class Variant(Document):
    """One way to run the model, timed in turn with the applied plan on the same inputs."""

    name: str
    median_s: Seconds
    p20_s: Seconds
    p80_s: Seconds
    samples: Positive
    ratio: Annotated[float, Field(gt=0, strict=True)]
    """Its time over the applied plan's, median of the pairs; above 1, the plan is faster."""
    ratio_low: Annotated[float, Field(gt=0, strict=True)]
    ratio_high: Annotated[float, Field(gt=0, strict=True)]
    """The 95 % interval of the ratio."""
    weight_bytes: Count
    error: Error | None
    """‖y−ŷ‖/‖y‖ at the model's output against the model as stored."""
    kl_divergence_nats: Error | None = None
    """KL(p‖p̂) from the model as stored, mean over the tokens; None: the output is not logits."""
    predicted_s: Seconds | None
    """As the plan predicts it, at the speed of the machine now."""


class Receipt(TopDocument):
    """The record of an application, or of its verification."""

    document: Literal["receipt"] = "receipt"
    action: Literal["applied", "verified"]
    model: str
    plan_hash: str
    fingerprint: Fingerprint
    compute_dtype: FloatDtype
    changes: tuple[str, ...]
    """What differs from the plan because the device differs; empty where nothing does."""
    layers: tuple[LayerReceipt, ...]
    weight_bytes_before: Count
    weight_bytes_after: Count
    metric: Literal["logits", "last_hidden_state"] | None = None
    error: Error | None = None
    kl_divergence_nats: Error | None = None
    """Of the applied plan, as in its variant."""
    error_limit: Error | None = None
    noise_floor: Error | None = None
    data_hash: str | None = None
    batch: Positive | None = None
    prompt: Positive | None = None
    generate: Count | None = None
    variants: tuple[Variant, ...] = ()
    """The applied plan first."""
    predicted_seconds: Quantity | None = None
    """As the plan predicts it, at the speed that the machine had when it was measured."""
    slowdown: Annotated[float, Field(gt=0, strict=True)] | None = None
    """How many times as long the yardstick takes now as when the machine was measured."""
    passed: Flag | None = None
    why: str = ""
