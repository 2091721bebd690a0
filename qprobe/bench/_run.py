"""Kernels × shapes → Profile."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterable, Sequence

import torch

from qprobe.bench._bed import Gpu, find_bed
from qprobe.bench._conditions import ReadState, judge
from qprobe.bench._device import measure_launch, measure_peaks
from qprobe.bench._gpu import measure_gpu
from qprobe.bench._shape import in_caches, measure_shape
from qprobe.bench._speed import at_speed, scale_measurement
from qprobe.documents.machine import Machine
from qprobe.documents.profile import Profile, Shape
from qprobe.errors import InputError
from qprobe.kernels.registry import kernel_facts
from qprobe.kernels.sources import hash_sources
from qprobe.timing.allocator import keep_freed_memory
from qprobe.timing.progress import Progress, silent
from qprobe.timing.yardstick import time_yardstick

logger = logging.getLogger(__name__)


def run_bench(
    machine: Machine,
    device: str,
    shapes: Sequence[tuple[int, int]],
    m: Sequence[int],
    *,
    weights: int | None = None,
    progress: Progress = silent,
    read_state: ReadState | None = None,
) -> Profile:
    """Measure every kernel on every (N, K) of `shapes` at every M of `m`.

    `weights` is how many elements the linears of the model have that it is for; None: more than caches hold.
    On Ctrl-C the profile of what was measured comes back with `interrupted`. `read_state` tells what
    the GPU does at the moment, so that the profile can say under which conditions it was measured.
    Raises InputError for sizes below 1 and for a device that the machine does not have.
    """
    if not shapes or not m or min(*m, *(side for pair in shapes for side in pair)) < 1:
        raise InputError(
            f"cannot measure shapes {list(shapes)} at M = {list(m)}",
            "give at least one NxK and one M, each 1 or more",
        )
    wanted = [Shape(m=rows, n=n, k=k) for n, k in shapes for rows in m]
    profile = empty_profile(machine, device, weights)
    return extend_profile(profile, wanted, device, progress=progress, read_state=read_state)


def empty_profile(machine: Machine, device: str, weights: int | None = None) -> Profile:
    """A profile of the device with its peaks and without measurements of layers.

    `weights` is how many elements the linears of the model have that it is for; None: more than caches hold.
    """
    if device not in machine.fingerprints:
        raise InputError(f"the machine document knows no device {device}", "probe this machine")
    bed = find_bed(device)
    keeps = keep_freed_memory()
    facts = measure_gpu(bed) if isinstance(bed, Gpu) else None
    with bed.active():
        yardstick_s = time_yardstick(bed.yardstick())
    return Profile(
        fingerprint=machine.fingerprints[device],
        kernel_sources=hash_sources(),
        yardstick_s=yardstick_s,
        keeps_freed_memory=keeps,
        threads=torch.get_num_threads(),
        weights=in_caches(weights, device),
        copy_bandwidth_bytes_per_s=facts.copy_bandwidth_bytes_per_s
        if facts
        else machine.cpu.copy_bandwidth_bytes_per_s,
        free_memory_bytes=bed.memory_bytes(),
        peaks=facts.peaks if facts else measure_peaks(),
        launch_s=facts.launch_s if facts else measure_launch(),
        graph_launch_s=facts.graph_launch_s if facts else None,
        kernels=kernel_facts(device),
        measurements=(),
        skipped=(),
        rest=(),
    )


def extend_profile(
    profile: Profile,
    shapes: Iterable[Shape],
    device: str | None = None,
    *,
    progress: Progress = silent,
    keep: Callable[[Profile], object] = lambda _: None,
    read_state: ReadState | None = None,
) -> Profile:
    """The profile with these shapes measured as well; `keep` gets it after each shape.

    `device` is the one that the profile is of: "cpu", "cuda:1" (None: the first of its kind).

    What comes back is at the speed that the machine had in the middle of the run. A shape for which the
    device has no memory is left out.
    """
    wanted = list(dict.fromkeys(shapes))
    if not wanted:
        return profile
    keep_freed_memory()
    speeds: list[float] = []
    device = device or profile.fingerprint.kind
    bed = find_bed(device)
    # Idle, a GPU's clocks are down: it is asked right after work.
    before = bed.ask_under_load(read_state) if read_state else None
    for index, shape in enumerate(wanted):
        progress(f"timing M = {shape.m}, N = {shape.n}, K = {shape.k}", index / len(wanted))
        try:
            found = measure_shape(shape, device, profile.weights)
        except KeyboardInterrupt:
            profile = profile.model_copy(update={"interrupted": True})
            break
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            logger.warning(
                "M = %d, N = %d, K = %d is not measured: %s has no memory for it",
                shape.m,
                shape.n,
                shape.k,
                device,
            )
            continue
        speeds.append(found.yardstick_s)
        factor = profile.yardstick_s / found.yardstick_s
        scaled = (scale_measurement(m, factor) for m in found.measurements)
        profile = profile.model_copy(
            update={
                "measurements": (*profile.measurements, *scaled),
                "skipped": (*profile.skipped, *found.skipped),
            }
        )
        keep(profile)
    after = bed.ask_under_load(read_state) if read_state else None
    if before and after:
        profile = profile.model_copy(update={"conditions": judge(before, after)})
    if speeds:
        profile = at_speed(profile, statistics.median(speeds))
        keep(profile.model_copy(update={"interrupted": False}))
    progress("timed every shape", 1.0)
    return profile
