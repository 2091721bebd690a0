"""What the roofline needs to know of a GPU: how fast it copies, multiplies, and is started."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.bench._bed import Gpu
from qprobe.documents import arch
from qprobe.documents.profile import Peak
from qprobe.errors import UnavailableError
from qprobe.kernels import gpus
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.probes import copy_on, list_peaks
from qprobe.timing.graphs import capture, host_seconds
from qprobe.timing.interleave import Task, time_interleaved

logger = logging.getLogger(__name__)

SIDE = 4096
LARGE_SIDE = 8192
"""What it takes to fill a large card."""
LARGE_SMS = 60
LEAST_BYTES = 256 * 2**20
BUDGET_S = 0.4
SMALL = 8
NODES = 100

FEATURES: dict[str, tuple[str, ...]] = {
    "float16": ("hmma_884", "hmma_1688", "hmma_16816"),
    "bfloat16": ("hmma_16816_bf16",),
    "int8": ("imma_8816", "imma_16832", "dp4a"),
    "float8_e4m3fn": ("qmma_16832_fp8", "wgmma", "tcgen05_f8f6f4"),
}
"""What multiplies a type in hardware, any of them; float32 is everywhere."""
UNITS: dict[str, tuple[str, ...]] = {
    "float16": ("peak_hmma float16", "peak_wgmma_16 float16"),
    "bfloat16": ("peak_hmma bfloat16", "peak_wgmma_16 bfloat16"),
    "int8": ("peak_dp4a", "peak_imma", "peak_wgmma"),
    "float8_e4m3fn": ("peak_fp8", "peak_wgmma_fp8"),
}
"""The probes of the units that multiply a type."""

Support = Literal["native", "emulated"]


@dataclass(frozen=True)
class GpuFacts:
    """What was measured."""

    copy_bandwidth_bytes_per_s: float
    peaks: dict[str, Peak]
    launch_s: float
    graph_launch_s: float


def measure_gpu(bed: Gpu) -> GpuFacts:
    """Touches the GPU and its clock; takes some seconds."""
    with bed.active(), torch.no_grad():
        eager, graph = _measure_launch(bed)
        return GpuFacts(
            copy_bandwidth_bytes_per_s=measure_copy(bed),
            peaks=raise_to_units(_measure_products(bed) | _measure_probes(bed)),
            launch_s=eager,
            graph_launch_s=graph,
        )


def measure_copy(bed: Gpu) -> float:
    """Bytes per second, read and written ones both, of what the caches cannot hold.

    By our own kernel where it can be launched, else by torch's.
    """
    size = max(LEAST_BYTES, 4 * bed.cache_bytes())
    size = min(size, (bed.memory_bytes() or size) // 8) // 1024 * 1024
    source = torch.randint(0, 127, (size,), dtype=torch.int8, device=bed.device)
    target = torch.empty_like(source)
    tasks = {"torch": Task(lambda _: target.copy_(source), clock=bed.clock)}
    if not driver.current().find_obstacle():
        with contextlib.suppress(UnavailableError):  # No compiler here builds for this card.
            copy_on(source, target)
            tasks["ours"] = Task(lambda _: copy_on(source, target), clock=bed.clock)
    timed = time_interleaved(tasks, budget_s=BUDGET_S, prune=False)
    return 2 * size / min(samples.median for samples in timed.values())


def _measure_products(bed: Gpu) -> dict[str, Peak]:
    """Operations per second of a square product through torch, by type; a type that fails has none."""
    capability = gpus.spell(gpus.capability_of(bed.name))
    is_large = torch.cuda.get_device_properties(bed.device).multi_processor_count >= LARGE_SMS
    side = LARGE_SIDE if is_large and float(capability) >= 8 else SIDE
    tasks = {}
    for name, make in _products(side, bed.device):
        try:
            product = make()
            product()
        except RuntimeError:
            continue  # Not on this card, not by this torch, or not in this memory: there is no peak to know.
        tasks[name] = Task(lambda _, product=product: product(), clock=bed.clock)  # type: ignore[misc]
    if not tasks:
        return {}
    timed = time_interleaved(tasks, budget_s=BUDGET_S, min_samples=3, prune=False)
    card = torch.cuda.get_device_name(bed.device)
    return {
        name: Peak(
            ops_per_s=2 * side**3 / samples.median, support=support_of(name, capability, card)
        )
        for name, samples in timed.items()
    }


def _products(
    side: int, device: torch.device
) -> Iterator[tuple[str, Callable[[], Callable[[], Tensor]]]]:
    """Name of a type → what makes a random matrix of it and gives its product."""

    def real(dtype: torch.dtype) -> Callable[[], Tensor]:
        x = torch.randn(side, side, device=device).to(dtype)
        return lambda: functional.linear(x, x)

    def integer() -> Callable[[], Tensor]:
        codes = torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(codes, codes.t())

    def narrow() -> Callable[[], Tensor]:
        x = torch.randn(side, side, device=device).to(torch.float8_e4m3fn)
        one = torch.ones((), device=device)
        return lambda: torch._scaled_mm(x, x.t(), one, one, out_dtype=torch.bfloat16)

    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        yield str(dtype)[6:], partial(real, dtype)
    yield "int8", integer
    yield "float8_e4m3fn", narrow


def support_of(unit: str, capability: str, card: str) -> Support:
    """Whether a card multiplies a type in hardware; one of an unknown architecture is believed to."""
    answers = {arch.support(f, capability, card) for f in FEATURES.get(unit, ())}
    return "native" if not answers or answers & {"native", None} else "emulated"


def _measure_probes(bed: Gpu) -> dict[str, Peak]:
    """What each unit reaches with everything in registers, by the name of the probe; what computes wrongly has no rate."""
    if driver.current().find_obstacle():
        return {}
    probes = []
    for probe in list_peaks(bed.device):
        if words := probe.find_fault():
            logger.warning("%s: its speed is not measured", words)
        else:
            probes.append(probe)
    tasks = {p.name: Task(lambda _, p=p: p.run(), clock=bed.clock) for p in probes}  # type: ignore[misc]
    if not tasks:
        return {}
    timed = time_interleaved(tasks, budget_s=BUDGET_S, min_samples=3, prune=False)
    return {p.name: Peak(ops_per_s=p.ops / timed[p.name].median, support=p.support) for p in probes}


def raise_to_units(peaks: dict[str, Peak]) -> dict[str, Peak]:
    """The peaks with that of each type at what the fastest of its units reached, if torch's product reached less.

    A roof must lie above all that is held against it: torch's product of a type may be a slow one.
    """
    raised = dict(peaks)
    for name, units in UNITS.items():
        reached = [peaks[key] for key in (name, *units) if key in peaks]
        if reached:
            raised[name] = max(reached, key=lambda peak: peak.ops_per_s)
    return raised


def _measure_launch(bed: Gpu) -> tuple[float, float]:
    """Seconds of the smallest linear: of the host for one, and of the GPU for one among many in a graph."""
    x = torch.zeros(1, SMALL, dtype=torch.float16, device=bed.device)
    weight = torch.zeros(SMALL, SMALL, dtype=torch.float16, device=bed.device)
    calls = [lambda: functional.linear(x, weight)] * NODES
    eager = host_seconds(calls)
    replay = capture(calls)
    task = Task(lambda _: replay(), clock=lambda: bed.clock() / NODES, shortest_s=1e-4)
    timed = time_interleaved({"graph": task}, budget_s=0.05, min_samples=5)
    return eager, timed["graph"].median
