"""Merges a LoRA into quantized layers, and compares the merged model with the unmerged one.

The adapter changes the output by more than its own norm, so that a merge which does nothing, a part or
the opposite is far beyond what rounding explains.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.doctor._merge import Merge
from qprobe.doctor.execution.report import Answer, Report
from qprobe.doctor.scripts.layer import make_linear, make_rows, relative_error, worst

N, RANK = 256, 8
WIDTHS = (256, 250)
"""K: ordinary; a multiple of 2 only, which int8 kernels refuse or pass by."""
ROWS = (16, 1)
B_SCALE = 0.25
"""Of the adapter's second matrix: the adapter then outweighs the weights that it is added to."""
LEAST_EFFECT = 1.0
"""‖with − without‖/‖without‖ that the adapter has to have for the comparison to mean anything."""
DTYPES = (torch.bfloat16, torch.float16)
ORDERS = ("merged before any forward pass", "merged after a forward pass")


def try_merge(merge: Merge, report: Report) -> None:
    """Both orders in both 16-bit types, with an ordinary and an awkward width."""
    if not report.load(merge.package, merge.load):
        return
    for dtype in DTYPES:
        for order in ORDERS:
            for k in WIDTHS:
                name = f"{str(dtype).removeprefix('torch.')}, {order}, K = {k}"
                is_used = order == ORDERS[1]
                report.attempt(name, partial(_check, merge, dtype, k, is_used, report.device))


class _Pair(nn.Module):
    """Two layers with something between them, as small as a model can be."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(functional.silu(self.first(x)))
        return y


def _check(merge: Merge, dtype: torch.dtype, k: int, is_used: bool, device: str) -> Answer:
    """The worst at any number of rows; the model is merged once, and used before that if `is_used`."""
    inputs = {m: make_rows(m, k, device).to(dtype) for m in ROWS}
    with torch.no_grad():
        twin, plain = _adapted(merge, dtype, k, device), _adapted(merge, dtype, k, device)
        unmerged = {m: twin(x) for m, x in inputs.items()}
        with plain.disable_adapter():
            without = {m: plain(x) for m, x in inputs.items()}
        model = _adapted(merge, dtype, k, device)
        if is_used:
            model(inputs[ROWS[0]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rounding, which is measured here
            merged = _merge(merge, model)
        answers = [
            compare(m, without[m], unmerged[m], merged(x), merge.limit) for m, x in inputs.items()
        ]
    return worst(answers)


class MergeError(Exception):
    """A merge that raises is no refusal: the model was made, and computes."""


def _merge(merge: Merge, model: Any) -> Any:
    try:
        return merge.merge(model)
    except Exception as error:  # whatever a library raises is its answer
        raise MergeError(f"{type(error).__name__}: {error}") from error


def compare(m: int, without: Tensor, unmerged: Tensor, merged: Tensor, limit: float) -> Answer:
    """How far the merged model is from the unmerged one, where the adapter does something.

    All (M, N): the outputs without the adapter, with it beside the weights, and merged into them. An
    adapter that changes nothing, which would hide a merge that does nothing, is as wrong as can be.
    """
    effect = relative_error(without, unmerged)
    if not effect >= LEAST_EFFECT:
        words = f"the adapter changes the output by {effect:.2g} at M = {m}, where it is to by more than 1"
        return Answer(LEAST_EFFECT, limit, words)
    off, moved = relative_error(unmerged, merged), relative_error(without, merged)
    if off <= limit:
        words = f"the output is off by {off:.2g} at M = {m}, where the adapter changes it by {effect:.2g}"
    else:
        words = (
            f"silently wrong: the merged model's output is off by {off:.2g} from the unmerged one's at "
            f"M = {m}, where rounding explains {limit:.2g}"
        )
        if moved <= limit:
            words += "; it is what it was without the adapter: the merge did nothing"
    return Answer(off, limit, words)


def _adapted(merge: Merge, dtype: torch.dtype, k: int, device: str) -> Any:
    """The same quantized model with the same adapter at every call, never run yet."""
    from peft import LoraConfig, get_peft_model

    shapes = ((N, k), (k, N))
    first, second = (
        merge.make(make_linear(*shape, device, seed), dtype).run
        for seed, shape in enumerate(shapes)
    )
    model = _Pair(first, second).eval()
    setattr(model, merge.flag, True)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["first", "second"])
    adapted = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(3)
    for name, parameter in adapted.named_parameters():
        scale = {"lora_A": parameter.shape[-1] ** -0.5, "lora_B": B_SCALE}
        for part, factor in scale.items():
            if part in name:
                drawn = torch.randn(parameter.shape, generator=generator) * factor
                parameter.data.copy_(drawn)
    return adapted
