"""How well a language model predicts bytes, and how far one is from another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Quality:
    """Of a model on one text, beside the exact model."""

    perplexity: float
    """exp of the mean loss of a byte."""
    divergence: float
    """KL(p‖p̂) from the exact model, mean over the bytes, in nats."""


def log_probabilities(module: nn.Module, ids: Tensor) -> Tensor:
    """Of every next byte: (batch, tokens, 256), float64."""
    with torch.no_grad():
        return module(input_ids=ids).logits.double().log_softmax(-1)


def measure(module: nn.Module, exact: Tensor, ids: Tensor) -> Quality:
    """`exact` are the log probabilities of the exact model."""
    found = log_probabilities(module, ids)
    return Quality(
        perplexity=perplexity(found, ids),
        divergence=float(
            functional.kl_div(found, exact, log_target=True, reduction="none").sum(-1).mean()
        ),
    )


def perplexity(log_p: Tensor, ids: Tensor) -> float:
    """From log probabilities (batch, tokens, 256) of the byte after each of ids (batch, tokens)."""
    return math.exp(float(functional.nll_loss(log_p[:, :-1].flatten(0, 1), ids[:, 1:].flatten())))
