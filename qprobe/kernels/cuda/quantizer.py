"""Activations to int8 codes on a GPU, in one pass over each row."""

from __future__ import annotations

import functools
import math
from threading import get_ident

import torch
from torch import Tensor

from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda import driver, suspects
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.launch import Call, align
from qprobe.kernels.cuda.portfolio import Source, sources_of

TENSORS = ("x", "y", "y_scale")
SHAPES = 1024
MOST_ELEMENTS = 2**31 - 1


def can_quantize(x: Tensor, form: str) -> bool:
    """Whether the kernel takes these activations, and can be launched on their device."""
    if form != "int8" or not x.numel() or x.numel() > MOST_ELEMENTS:
        return False
    return _can_launch(x.device.index or 0)


def warm_up(spec: LayerSpec) -> None:
    """Compile and load what quantizes the activations of a layer, if anything of ours does there."""
    index, source = int(spec.device.partition(":")[2] or 0), _source()
    if source is not None and _can_launch(index):
        dtype = _nearest(source, spec.activation_dtype, index)
        driver.current().load(source, _choose(source, dtype, index).name, index)


def try_out(spec: LayerSpec) -> None:
    """Run it once on rows of the layer's length; raises CrashError where that brings down the card."""
    index, source = int(spec.device.partition(":")[2] or 0), _source()
    if source is not None and _can_launch(index):
        with suspects.trial(source, index):
            device = driver.current().find_device(index)
            quantize_rows(torch.zeros(2, spec.k, dtype=spec.activation_dtype, device=device))


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (…, K) int8 and scales (…, 1) float32 of x (…, K)."""
    shape = x.shape
    call, dtype = _ready(shape, x.dtype, x.device.index or 0, get_ident())
    x = align(x if x.dtype == dtype else x.to(dtype))
    codes = x.new_empty(*shape, dtype=torch.int8)
    scales = x.new_empty(*shape[:-1], 1, dtype=torch.float32)
    call.run(x, codes, scales)
    return codes, scales


@functools.cache
def _source() -> Source | None:
    return next(iter(sources_of("quantize")), None)


@functools.cache
def _can_launch(index: int) -> bool:
    source, current = _source(), driver.current()
    if source is None or current.find_obstacle():
        return False
    card = driver.find_card(index)
    if current.find_build_obstacle(card, source.manifest.requires):
        return False
    return not suspects.find_crash(source, card)


def _nearest(source: Source, dtype: torch.dtype, index: int) -> torch.dtype:
    """The type itself, or what it is brought to where there is no build for it."""
    has_own = source.find_builds(None, dtype, driver.find_card(index).capability)
    return dtype if has_own else torch.float32


def _choose(source: Source, dtype: torch.dtype, index: int) -> Build:
    return source.find_builds(None, dtype, driver.find_card(index).capability)[0]


@functools.lru_cache(maxsize=SHAPES)
def _ready(
    shape: torch.Size, dtype: torch.dtype, index: int, _thread: int
) -> tuple[Call, torch.dtype]:
    """A call made ready, for each thread its own, and the type that it takes."""
    source = _source()
    if source is None:
        raise TypeError("this qprobe has no kernel that quantizes activations")
    taken = _nearest(source, dtype, index)
    build, k = _choose(source, taken, index), shape[-1]
    counts = {"m": math.prod(shape[:-1]), "k": k, "n": k}
    return Call(source, build.name, index, counts, TENSORS), taken


def forget() -> None:
    """Drop everything that was made ready: the cards are others now."""
    _ready.cache_clear()
    _can_launch.cache_clear()
