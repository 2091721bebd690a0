"""Tries kernels where nobody has measured them: what a plan for another device brings may be new to this one."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import UnavailableError
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.reference import KERNEL as REFERENCE
from qprobe.layers import make_layer
from qprobe.layers._verification import check_layer, random_linear, random_outliers, random_rows

MOST_WEIGHTS = {"cpu": 2**22, "cuda": 2**26}
"""Of a layer that is tried. On a GPU it depends on N which build of a kernel runs; it takes a GB or two there."""
STEP = 256
"""Output features that are left out at a time, so that tails of tiles stay as they are."""
MANY_ROWS = 300
"""Stand for any number of rows: some tiles, and a part of one."""


@functools.cache
def find_fault(kernel: Kernel, spec: LayerSpec, rows: KernelRange) -> str:
    """What is wrong with the kernel for such layers and so many rows; "" if nothing is, or it is the reference.

    Multiplies random numbers by a layer of random weights, of this K and up to as many features, and
    compares with the exact product. Once in a process for each of its kind.

    Raises CrashError where the kernel takes the device from the process: the next one goes without it.
    """
    if kernel is REFERENCE:
        return ""
    tried = replace(spec, n=_cut(spec.n, MOST_WEIGHTS[spec.kind] // spec.k))
    while True:
        try:
            with on_device(spec.device), torch.no_grad():
                words = _try(kernel, tried, rows)
        except torch.OutOfMemoryError as error:
            if tried.n > STEP:
                tried = replace(tried, n=_cut(tried.n, tried.n // 4))
                continue
            words = _one_line(error)
        except (RuntimeError, UnavailableError) as error:
            words = _one_line(error)
        return words and f"{kernel.id} was tried: {words}"


def on_device(name: str) -> AbstractContextManager[object]:
    """Within, "cuda:N" is the GPU that work goes to and that is asked for the time."""
    if name == "cpu":
        return nullcontext()
    found: AbstractContextManager[object] = torch.cuda.device(name)
    return found


def _try(kernel: Kernel, spec: LayerSpec, rows: KernelRange) -> str:
    scheme = SCHEMES[spec.scheme]
    algorithm = next(name for name, code in scheme.algorithms.items() if code == spec.max_code)
    generator = torch.Generator(spec.device).manual_seed(0)
    linear = random_linear(spec.n, spec.k, generator)
    alone = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
    layer = make_layer(
        linear, scheme, scheme.quick_algorithm(algorithm), alone, spec.activation_dtype
    )
    outliers = random_outliers(spec.k, generator)
    for m in sorted({rows.m_min, rows.m_max or rows.m_min + MANY_ROWS}):
        x = (random_rows(m, spec.k, generator) * outliers).to(spec.activation_dtype)
        with kernel.trial(spec):
            words = check_layer(kernel, layer, x, layer(x))
        if words:
            return f"{words}, M = {m}, N = {spec.n}, K = {spec.k}"
    return ""


def _cut(n: int, most: int) -> int:
    """N less some steps: `most` at most, but at least one step's."""
    return max(n - STEP * max(0, -(-(n - most) // STEP)), n % STEP or STEP)


def _one_line(error: Exception) -> str:
    return f"it does not run here: {' '.join(str(error).split()):.300}"
