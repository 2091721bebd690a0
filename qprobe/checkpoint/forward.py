"""Runs a model on token ids and takes the output that errors are measured at."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from qprobe.errors import InputError

Metric = Literal["logits", "last_hidden_state"]
METRICS: tuple[Metric, ...] = ("logits", "last_hidden_state")


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module in eval mode and without gradients; afterwards each of its parts is in its own mode."""
    modes = [(child, child.training) for child in module.modules()]
    try:
        with torch.no_grad():
            yield module.eval()
    finally:
        for child, mode in modes:
            child.training = mode


def run_forward(module: nn.Module, input_ids: torch.Tensor) -> torch.Tensor:
    """The logits of the model, or else its last hidden state; a lone tensor is taken as it is.

    input_ids: (batch, tokens) int64, without padding. Gradients are the caller's business.
    Raises InputError where the output has neither.
    """
    return _output(module, input_ids)[1]


def output_metric(module: nn.Module) -> Metric:
    """Which of the two `run_forward` compares, found by running it on two tokens."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with torch.no_grad():
        return _output(module, torch.zeros(1, 2, dtype=torch.int64, device=device))[0]


def _output(module: nn.Module, input_ids: torch.Tensor) -> tuple[Metric, torch.Tensor]:
    arguments = {}
    if "attention_mask" in inspect.signature(module.forward).parameters:
        arguments["attention_mask"] = torch.ones_like(input_ids)
    output = module(input_ids, **arguments)
    if isinstance(output, torch.Tensor):
        return "last_hidden_state", output
    fields = output if isinstance(output, Mapping) else {}
    for metric in METRICS:
        value = fields.get(metric)
        if isinstance(value, torch.Tensor):
            return metric, value
    found = ", ".join(str(name) for name in fields) or f"a {type(output).__name__}"
    raise InputError(
        f"{type(module).__name__} returns neither logits nor last_hidden_state but {found}",
        "give the encoder or the language model inside it",
    )
