"""Tries kernels where nobody has measured them: what a plan for another device brings may be new to this one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import CrashError
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.reference import KERNEL as REFERENCE
from qprobe.layers import make_layer
from qprobe.layers._verification import (
    TOLERANCE,
    check_layer,
    random_linear,
    random_outliers,
    random_rows,
    relative_error,
)

MOST_WEIGHTS = {"cpu": 2**22, "cuda": 2**26}
"""Of a layer that is tried. On a GPU it depends on N which build of a kernel runs, up to some hundred tiles; it takes
a GB or two there."""
PRODUCT, COARSER = 256, 4
"""Rows and columns of what shows how torch rounds, and what a layer may be coarser by: its numbers are others."""
STEP = 256
"""Output features that are left out at a time, so that tails of tiles stay as they are."""
MANY_ROWS = 300
"""Stand for any number of rows: some tiles, and a part of one."""


def find_fault(kernel: Kernel, spec: LayerSpec, rows: KernelRange) -> str:
    """What is wrong with the kernel for such layers and so many rows; "" if nothing is, or it is the reference.

    Multiplies random numbers by a layer of random weights, of this K and up to as many features, and
    compares with the exact product. Once in a process for each of its kind. Where there is no memory
    to try it, nothing is known to be wrong.

    Raises CrashError where the kernel takes the device from the process.
    """
    key = kernel, spec, rows
    if kernel is REFERENCE or key in _found:
        return _found.get(key, "")
    tried = replace(spec, n=_cut(spec.n, MOST_WEIGHTS[spec.kind] // spec.k))
    while True:
        try:
            with _alone(spec.device):
                words = _try(kernel, tried, rows)
        except CrashError:
            raise
        except Exception as error:  # Whatever an operator or a compiler may raise.
            if not _is_for_memory(error):
                _refuse_lost_device(kernel, spec, error)
                words = f"it does not run here: {' '.join(str(error).split()):.300}"
            elif (fewer := _cut(tried.n, tried.n // 4)) < tried.n:
                tried = replace(tried, n=fewer)
                continue
            else:
                return ""
        _found[key] = words and f"{kernel.id} was tried: {words}"
        return _found[key]


_found: dict[tuple[Kernel, LayerSpec, KernelRange], str] = {}


def forget() -> None:
    """Try everything anew."""
    _found.clear()


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
    most, coarseness = rows.m_min + MANY_ROWS, _find_coarseness(spec, generator)
    for m in sorted({rows.m_min, min(rows.m_max or most, most)}):
        x = (random_rows(m, spec.k, generator) * outliers).to(spec.activation_dtype)
        with kernel.trial(spec):
            words = check_layer(kernel, layer, x, layer(x), coarseness=coarseness)
        if words:
            return f"{words}, M = {m}, N = {spec.n}, K = {spec.k}"
    return ""


def _find_coarseness(spec: LayerSpec, generator: torch.Generator) -> float:
    """What torch's own float32 product explains, where it was told to round more: to TF32 or bfloat16. Multiplies one.

    To ask torch how it was told raises, where that was in more than one way.
    """
    if spec.activation_dtype != torch.float32:
        return 0.0
    a, b = (random_rows(PRODUCT, PRODUCT, generator) for _ in "ab")
    error = relative_error(a.double() @ b.double(), a @ b)
    return COARSER * error if error > TOLERANCE[torch.float32] else 0.0


def _cut(n: int, most: int) -> int:
    """N less some steps: `most` at most, but at least one step and the tail."""
    least = n if n < STEP else STEP + n % STEP
    return max(n - STEP * max(0, -(-(n - most) // STEP)), least)


@contextlib.contextmanager
def _alone(device: str) -> Iterator[None]:
    """Within, nothing that the caller has set for his own model makes a difference."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_device(device))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(device.partition(":")[0], enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def _is_for_memory(error: Exception) -> bool:
    """Whether memory ran out; torch has a class for that on GPUs alone."""
    causes = (error, error.__cause__)
    if any(isinstance(each, torch.OutOfMemoryError | MemoryError) for each in causes):
        return True
    return "can't allocate memory" in str(error)


def _refuse_lost_device(kernel: Kernel, spec: LayerSpec, error: Exception) -> None:
    """Raise CrashError where a GPU does nothing more for this process: no other kernel would run either."""
    if spec.kind != "cuda":
        return
    try:
        torch.cuda.synchronize(spec.device)
    except RuntimeError as lost:
        raise CrashError(
            f"{kernel.id} brought down {spec.device}: {' '.join(str(lost).split()):.300}",
            "this process cannot use the card any more: run it again, or plan anew on this machine",
        ) from error
