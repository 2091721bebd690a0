"""Tries a linear layer: is it right at every shape and type, and is it faster than none?

The exact answer is the product in float64 of what the layer multiplies, where the library can show the
weight that it stored, and of the weight that it was given, where it cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from math import inf, isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor.execution.report import Answer, Report
from qprobe.doctor.scripts.dtypes import best_types
from qprobe.doctor.scripts.speed import FULL_M, QUICK_M, side_of, time_beside
from qprobe.doctor.scripts.ways import Call, Rows, Unquantized, Way
from qprobe.documents.base import FloatDtype
from qprobe.documents.finding import Speed
from qprobe.timing.allocator import give_back_freed_memory, keep_freed_memory

SHAPES = ((32, 256, 256), (1, 256, 256), (3, 256, 256), (32, 256, 250))
"""(M, N, K): ordinary, with more rows than the least that int8 products on GPUs take; a single token; few
rows; K that is a multiple of 2 only, as few layers have. Each but the first is odd in one thing alone."""
SMALL_SHARE = 2
"""The layers that keep the code warm have N and K that are smaller by this: large enough that every thread
takes part. Beside one of a quarter, with few rows of 4-bit weights, a runtime lets its second thread sleep, and
waking it takes twice as long as the layer."""

ARITHMETIC = {torch.float32: 2e-3, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""Relative error that products in a type explain; float32 may be TF32 on a GPU."""


def try_layer(layer: Layer, report: Report) -> None:
    """Every type and shape, then time at some numbers of rows."""
    if not report.load(layer.package, layer.load):
        return
    if layer.compile and not report.load(layer.package, layer.compile, "compile"):
        return
    with torch.no_grad():
        right = {
            dtype
            for dtype in layer.dtypes
            for shape in SHAPES
            if report.attempt(
                _name(dtype, *shape), partial(_check, layer, dtype, shape, report.device)
            )
        }
    if not right:
        return
    dtype = choose_type(layer.dtypes, right, best_types(report.device))
    if dtype is not None:
        timing = _Timing(layer, dtype, report)
        for m in FULL_M if report.is_full else QUICK_M:
            name = f"timing {_name(dtype, m, timing.side, timing.side)}"
            report.measure(name, partial(timing.at, m))


def choose_type(
    offered: Sequence[FloatDtype], right: Collection[FloatDtype], best: Sequence[FloatDtype]
) -> FloatDtype | None:
    """The type to time in: the best of the device, if it came out right there, else the first that did."""
    right = [dtype for dtype in offered if dtype in right]
    return next((dtype for dtype in best[:1] if dtype in right), next(iter(right), None))


def _name(dtype: str, m: int, n: int, k: int) -> str:
    return f"{dtype}, M = {m}, N = {n}, K = {k}"


def make_linear(n: int, k: int, device: str, seed: int = 0) -> nn.Linear:
    """A layer with normally distributed weights, as large as those of trained models, and a bias."""
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(k, n, device="meta")
    weight = torch.randn(n, k, generator=generator) / k**0.5
    linear.weight = nn.Parameter(weight.to(device), requires_grad=False)
    bias = torch.randn(n, generator=generator) / 4
    linear.bias = nn.Parameter(bias.to(device), requires_grad=False)
    return linear.eval()


def make_rows(m: int, k: int, device: str, outliers: bool = False) -> Tensor:
    """Activations (M, K) float32 of both signs with some zeros, for one feature perhaps far larger."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(m, k, generator=generator)
    x[:, ::17] = 0
    if outliers:
        x[:, 5] *= 12
    return x.to(device)


def _check(
    layer: Layer, dtype: FloatDtype, shape: tuple[int, int, int], device: str
) -> Answer | None:
    m, n, k = shape
    kind: torch.dtype = getattr(torch, dtype)
    linear = make_linear(n, k, device)
    x = make_rows(m, k, device, layer.outliers).to(kind)
    made = layer.make(linear, kind)
    ways = made if isinstance(made, Mapping) else {"": made}
    answers = [_judge(layer, linear, x, way, name) for name, way in ways.items()]
    return worst(answers) if answers else None


def worst(answers: Iterable[Answer]) -> Answer:
    """The one that is furthest beyond what is explained; what is not finite first."""
    return max(
        answers,
        key=lambda answer: answer.error / answer.limit if isfinite(answer.error) else inf,
    )


def _judge(layer: Layer, linear: nn.Linear, x: Tensor, made: Made, name: str) -> Answer:
    """Compare with the stored weight closely, and what is stored with what was given, loosely."""
    arithmetic = ARITHMETIC[x.dtype]
    if layer.computes_in:
        arithmetic = max(arithmetic, ARITHMETIC[getattr(torch, layer.computes_in)])
    limit = arithmetic + layer.activation_error
    weight = made.weight() if callable(made.weight) else made.weight
    stored = linear.weight if weight is None else weight
    if stored.shape != linear.weight.shape:
        raise ValueError(
            f"the stored weight is {tuple(stored.shape)}, not {tuple(linear.weight.shape)}"
        )
    lost = relative_error(linear.weight, stored)
    if weight is not None and not lost <= layer.weight_error:
        return Answer(lost, layer.weight_error, _of("the stored weight", name))
    if weight is None:
        limit += layer.weight_error
    exact = functional.linear(x.double(), stored.double(), linear.bias.double())
    y = made.run(x)
    if y.shape != exact.shape:
        raise ValueError(f"the output is {tuple(y.shape)}, not {tuple(exact.shape)}")
    return Answer(relative_error(exact, y), limit, _of("", name))


def _of(what: str, name: str) -> str:
    return " of ".join(word for word in (what, name) if word)


def relative_error(exact: Tensor, found: Tensor) -> float:
    """‖exact − found‖ / ‖exact‖; infinite or NaN where `found` is."""
    exact = exact.detach().double()
    return float((exact - found.detach().to(exact.device).double()).norm() / exact.norm())


class _Timing:
    """One layer as large as models have them, made when it is first timed."""

    def __init__(self, layer: Layer, dtype: FloatDtype, report: Report) -> None:
        self._layer, self._dtype, self._report = layer, dtype, report
        self._kind: torch.dtype = getattr(torch, dtype)
        self.side = side_of(report.device, report.is_full)
        self._sides = (self.side, self.side // SMALL_SHARE)

    @cached_property
    def _parts(self) -> tuple[dict[str, Way], Unquantized]:
        device = self._report.device
        large, small = (make_linear(side, side, device) for side in self._sides)
        runs, small_runs = self._runs(large), self._runs(small)
        other = next(iter(small_runs.values()))  # of a kernel that takes no layer so small
        ways = {name: Way(run, small_runs.get(name, other)) for name, run in runs.items()}
        return ways, Unquantized(large, small, device)

    def _runs(self, linear: nn.Linear) -> dict[str, Call]:
        made = self._layer.make(linear, self._kind)
        ways = made if isinstance(made, Mapping) else {"": made}
        return {name: way.run for name, way in ways.items()}

    def at(self, m: int) -> Speed:
        """Time it with M rows."""
        report, spec = self._report, self._layer
        with torch.no_grad():
            ways, beside = self._parts
            rows = Rows(
                *(make_rows(m, k, report.device, spec.outliers).to(self._kind)
                  for k in self._sides)
            )  # fmt: skip
            give_back_freed_memory()
            if report.is_full:  # a short run has little memory
                keep_freed_memory()
            return time_beside(
                ways,
                beside,
                rows,
                report.device,
                is_full=report.is_full,
                own_threads=spec.own_threads,
            )


def copy_linear(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """A layer of its own in `dtype`, for libraries that change what they are given."""
    made = nn.Linear(linear.in_features, linear.out_features, device="meta", dtype=dtype)
    made.weight = nn.Parameter(linear.weight.detach().to(dtype, copy=True), requires_grad=False)
    made.bias = nn.Parameter(linear.bias.detach().to(dtype, copy=True), requires_grad=False)
    return made.eval()
