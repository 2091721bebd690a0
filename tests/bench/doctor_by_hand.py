"""One method by its own library, as somebody would write it who knows that: a line of JSON.

`python -m tests.bench.doctor_by_hand METHOD DTYPE M,M…`. Shares nothing with the doctor but the layer's size.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.bench.peers._peer import all_peers

SIDE, RUNS = 2048, 9
OTHER_BYTES = 2**27
"""Read between two runs, so that the weights come from memory as in a model of many layers."""
LAYERS = {
    "bitsandbytes-int8": ("bitsandbytes", "Linear8bitLt"),
    "bitsandbytes-nf4": ("bitsandbytes", "Linear4bit NF4"),
    "hqq-int8": ("HQQ", "8 bits g64"),
    "hqq-int4": ("HQQ", "4 bits g64"),
    "onnxruntime-int8": ("ONNX Runtime", "DynamicQuantizeMatMul int8"),
    "onnxruntime-int4": ("ONNX Runtime", "MatMulNBits 4 b128, int8 compute"),
    "quanto-int8": ("quanto", "qint8"),
    "quanto-int4": ("quanto", "qint4"),
    "torch-int-mm": ("torch", "_int_mm, dynamic"),
    "torch-int4pack": ("torch", "_weight_int4pack_mm g128"),
    "torch-int4pack-fp16": ("torch", "_weight_int4pack_mm g128"),
    "torch-int4pack-fp32": ("torch", "_weight_int4pack_mm g128"),
    "torch-int8pack": ("torch", "_weight_int8pack_mm"),
    "torch-int8pack-fp16": ("torch", "_weight_int8pack_mm"),
    "torch-int8pack-fp32": ("torch", "_weight_int8pack_mm"),
    "torchao-int8": ("torchao", "int8 weight-only"),
    "torchao-int4-opaque": ("torchao", "int4 opaque g128"),
    "torchao-int8-dynamic": ("torchao", "int8 dynamic"),
}
"""Method → a peer of the benchmark, and the way of it that is the same."""


def make_plain(side: int = SIDE) -> nn.Linear:
    torch.manual_seed(7)
    return nn.Linear(side, side).requires_grad_(False).eval()


def find_way(method: str, linear: nn.Linear, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    name, label = LAYERS[method]
    way = next(way for way in all_peers()[name].ways if way.label == label)
    return way.make(linear, dtype)


def measure_layer(method: str, dtype: torch.dtype, rows: list[int]) -> dict[str, object]:
    """The error against the unquantized product, and how fast it is beside the fastest unquantized."""
    linear = make_plain()
    run = find_way(method, linear, dtype)
    x = torch.randn(32, SIDE)
    exact = linear(x)
    error = float((run(x.to(dtype)).float() - exact).norm() / exact.norm())
    plain = [
        (linear.weight.to(kind), linear.bias.to(kind)) for kind in (torch.float32, torch.bfloat16)
    ]
    ratios = {}
    for m in rows:
        x = torch.randn(m, SIDE)
        calls: list[Callable[[], object]] = [partial(run, x.to(dtype))]
        calls += [partial(functional.linear, x.to(w.dtype), w, b) for w, b in plain]
        ours, *others = time_in_turn(calls)
        ratios[m] = min(others) / ours
    return {"error": error if math.isfinite(error) else None, "ratios": ratios}


def time_in_turn(calls: list[Callable[[], object]]) -> list[float]:
    """Median seconds of each, one after the other in every round, the caches filled with other data."""
    other = torch.zeros(OTHER_BYTES // 4)
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(RUNS):
        for call, taken in zip(calls, seconds, strict=True):
            other.sum()
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def merge_lora(method: str) -> dict[str, object]:
    """A model is used, then its adapter is merged: how far its output is from what it was."""
    import bitsandbytes as bnb
    from peft import LoraConfig, get_peft_model

    plain = make_plain(512).to(torch.bfloat16)
    if method == "peft-merge-nf4":
        layer = bnb.nn.Linear4bit(512, 512, compute_dtype=torch.bfloat16, quant_type="nf4")
        layer.weight = bnb.nn.Params4bit(plain.weight.data, requires_grad=False, quant_type="nf4")
    else:
        layer = bnb.nn.Linear8bitLt(512, 512, has_fp16_weights=False, threshold=6.0)
        layer.weight = bnb.nn.Int8Params(
            plain.weight.data, requires_grad=False, has_fp16_weights=False
        )
    layer.bias = plain.bias
    model = nn.Sequential(layer.to("cpu"))
    model.is_loaded_in_4bit = method == "peft-merge-nf4"
    model.is_loaded_in_8bit = method != "peft-merge-nf4"
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["0"])).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
        x = torch.randn(16, 512, dtype=torch.bfloat16)
        before = adapted(x).float()
        after = adapted.merge_and_unload()(x).float()
    error = float((after - before).norm() / before.norm())
    return {"error": error if math.isfinite(error) else None, "ratios": {}}


def main(method: str, dtype: str, rows: str) -> None:
    """Print what came out; {} for a method that is not written down here."""
    warnings.simplefilter("ignore")
    found: dict[str, object] = {}
    if method.startswith("peft-merge-"):
        found = merge_lora(method)
    elif method in LAYERS:
        with torch.no_grad():
            found = measure_layer(method, getattr(torch, dtype), [int(m) for m in rows.split(",")])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
