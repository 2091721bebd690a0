"""How far one output of a model is from another: relative error, and divergence where it predicts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from qprobe.checkpoint.forward import Metric


@dataclass(frozen=True)
class Difference:
    """An output beside the exact one."""

    relative_error: float
    """‖y−ŷ‖/‖y‖."""
    kl_divergence_nats: float | None
    """KL(p‖p̂) of the distributions that logits stand for, mean over the tokens; None: no logits."""


def compare_outputs(exact: Tensor, y: Tensor, metric: Metric) -> Difference:
    """Compare y with the exact output, both (batch, …, features) of any floating type.

    One sequence at a time in float64: with a large vocabulary the whole would not fit.
    """
    noise = signal = divergence = 0.0
    for exact_row, row in zip(exact, y, strict=True):
        wide, other = exact_row.double(), row.double()
        noise += float((wide - other).square().sum())
        signal += float(wide.square().sum())
        if metric == "logits":
            divergence += _kl_divergence(wide, other)
    distributions = exact.numel() // exact.shape[-1]
    return Difference(
        relative_error=(noise / signal) ** 0.5 if signal else float(noise > 0),
        kl_divergence_nats=divergence / distributions if metric == "logits" else None,
    )


def _kl_divergence(exact: Tensor, y: Tensor) -> float:
    """Σ KL(p‖p̂) over the rows of two tensors of logits (…, classes), in nats; never below 0."""
    p, q = exact.log_softmax(-1), y.log_softmax(-1)
    return max(0.0, float((p.exp() * (p - q)).sum()))
