"""Packages that compute narrow weights on a GPU, where they are installed: layers made from a linear on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tests.bench.peers._peer import Call, copy_linear

Make = Callable[[nn.Linear, torch.dtype], Call]


@dataclass(frozen=True)
class GpuWay:
    """One way of a package; nothing of it is imported before `make`."""

    package: str
    label: str
    scheme: str
    """The scheme of ours that stores about the same."""
    make: Make

    @property
    def is_installed(self) -> bool:
        """Whether it can be imported."""
        return importlib.util.find_spec(self.package) is not None


def version_of(package: str) -> str | None:
    """As installed, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _bitsandbytes(kind: str) -> Make:
    def make(linear: nn.Linear, dtype: torch.dtype) -> Call:
        import bitsandbytes as bnb

        plain, size = copy_linear(linear, dtype), (linear.in_features, linear.out_features)
        made: Any
        if kind == "int8":
            made = bnb.nn.Linear8bitLt(*size, has_fp16_weights=False, threshold=0.0)
            made.weight = bnb.nn.Int8Params(
                plain.weight.data.cpu(), requires_grad=False, has_fp16_weights=False
            )
        else:
            made = bnb.nn.Linear4bit(*size, compute_dtype=dtype, quant_type="nf4")
            made.weight = bnb.nn.Params4bit(
                plain.weight.data.cpu(), requires_grad=False, quant_type="nf4"
            )
        made.bias = plain.bias
        layer: Call = made.to(linear.weight.device).eval()
        return layer

    return make


def _torchao(name: str, **arguments: Any) -> Make:
    def make(linear: nn.Linear, dtype: torch.dtype) -> Call:
        from torchao import quantization

        layer = copy_linear(linear, dtype)
        quantization.quantize_(layer, getattr(quantization, name)(**arguments))
        return layer

    return make


def _gemlite(linear: nn.Linear, dtype: torch.dtype) -> Call:
    from gemlite.helper import A16W4_HQQ_INT

    made: Call = A16W4_HQQ_INT(device=str(linear.weight.device), dtype=dtype).from_linear(
        copy_linear(linear, dtype)
    )
    return made


WAYS = (
    GpuWay("bitsandbytes", "bitsandbytes LLM.int8()", "W8A8", _bitsandbytes("int8")),
    GpuWay("bitsandbytes", "bitsandbytes NF4", "NF4", _bitsandbytes("nf4")),
    GpuWay("torchao", "torchao int8 weight-only", "W8A16", _torchao("Int8WeightOnlyConfig")),
    GpuWay(
        "torchao",
        "torchao int8 dynamic",
        "W8A8",
        _torchao("Int8DynamicActivationInt8WeightConfig"),
    ),
    GpuWay(
        "torchao", "torchao int4 g128", "W4A16", _torchao("Int4WeightOnlyConfig", group_size=128)
    ),
    GpuWay("gemlite", "gemlite int4", "W4A16", _gemlite),
)
"""Every way that is measured where its package is there."""
PACKAGES = tuple(dict.fromkeys(way.package for way in WAYS))
