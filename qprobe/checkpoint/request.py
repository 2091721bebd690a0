"""Runs a request through a model: the prompt, then token by token."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qprobe.errors import InputError


def check_generates(module: nn.Module, generate: int) -> None:
    """Raises InputError where tokens are asked of a model that generates none."""
    can_generate = getattr(module, "can_generate", None)
    if generate and not (callable(can_generate) and can_generate()):
        raise InputError(
            f"asked for {generate} generated tokens, but {type(module).__name__} generates none",
            "leave --generate out for an encoder",
        )


def time_request(
    module: nn.Module,
    input_ids: torch.Tensor,
    generate: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Seconds of the forward pass over the prompt, and of generating `generate` tokens after it.

    input_ids: (batch, tokens) int64. Decoding is greedy, with the cache that the model makes: after
    the prompt, one pass for each token. A language model computes the logits of the last position
    only, as transformers' `generate` has it do, whether or not anything is generated.
    Raises InputError for an encoder that is asked to generate.
    """
    check_generates(module, generate)
    arguments: dict[str, Any] = {}
    taken = inspect.signature(module.forward).parameters
    takes_mask = "attention_mask" in taken
    if takes_mask:
        arguments["attention_mask"] = torch.ones_like(input_ids)
    if generate:
        arguments["use_cache"] = True
    if "logits_to_keep" in taken:
        arguments["logits_to_keep"] = 1
    start = clock()
    output = module(input_ids, **arguments)
    prefill_s = clock() - start
    start = clock()
    for _ in range(generate):
        arguments["past_key_values"] = output.past_key_values
        token = output.logits[:, -1:].argmax(-1)
        if takes_mask:
            mask = arguments["attention_mask"]
            arguments["attention_mask"] = torch.cat([mask, torch.ones_like(token)], dim=-1)
        output = module(token, **arguments)
    return prefill_s, clock() - start
