"""Merges a LoRA into quantized layers, and compares the merged model with the unmerged one."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.doctor._merge import Merge
from qprobe.doctor.execution.report import Answer, Report
from qprobe.doctor.scripts.layer import make_linear, make_rows, relative_error

SIDE, ROWS, RANK = 256, 16, 8
B_SCALE = 0.01
"""Of the adapter's second matrix: its effect on the output is then about a tenth, as after training."""
DTYPES = (torch.bfloat16, torch.float16)
ORDERS = ("merged before any forward pass", "merged after a forward pass")


def try_merge(merge: Merge, report: Report) -> None:
    """Both orders in both 16-bit types."""
    if not report.load(merge.package, merge.load):
        return
    for dtype in DTYPES:
        for order in ORDERS:
            name = f"{str(dtype).removeprefix('torch.')}, {order}"
            report.attempt(name, partial(_check, merge, dtype, order == ORDERS[1], report.device))


class _Pair(nn.Module):
    """Two layers with something between them, as small as a model can be."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(functional.silu(self.first(x)))
        return y


def _check(merge: Merge, dtype: torch.dtype, is_used: bool, device: str) -> Answer:
    x = make_rows(ROWS, SIDE, device).to(dtype)
    with torch.no_grad():
        twin, plain = _adapted(merge, dtype, device), _adapted(merge, dtype, device)
        unmerged = twin(x)
        with plain.disable_adapter():
            effect = relative_error(unmerged, plain(x))
        model = _adapted(merge, dtype, device)
        if is_used:
            model(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rounding, which is measured here
            merged = model.merge_and_unload()
        moved = relative_error(unmerged, merged(x))
    if moved <= merge.limit:
        lost = moved / effect if effect else 0.0
        words = f"the output moves by {moved:.2g}, {lost:.0%} of the adapter's own effect"
    else:
        words = (
            f"silently wrong: the merged model's output is off by {moved:.2g} from the unmerged one's, "
            f"where rounding explains {merge.limit:.2g}"
        )
    return Answer(moved, merge.limit, words)


def _adapted(merge: Merge, dtype: torch.dtype, device: str) -> Any:
    """The same quantized model with the same adapter at every call, never run yet."""
    from peft import LoraConfig, get_peft_model

    layers = [merge.make(make_linear(SIDE, SIDE, device, seed), dtype).run for seed in (0, 1)]
    first, second = layers
    model = _Pair(first, second).eval()
    setattr(model, merge.flag, True)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["first", "second"])
    adapted = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(3)
    for name, parameter in adapted.named_parameters():
        scale = {"lora_A": SIDE**-0.5, "lora_B": B_SCALE}
        for part, factor in scale.items():
            if part in name:
                drawn = torch.randn(parameter.shape, generator=generator) * factor
                parameter.data.copy_(drawn)
    return adapted
