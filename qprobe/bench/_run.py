"""Kernels × shapes → Profile."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

import torch

from qprobe.bench._device import measure_launch, measure_peaks
from qprobe.bench._shape import measure_shape
from qprobe.bench._speed import at_speed, scale_measurement
from qprobe.documents.machine import Machine
from qprobe.documents.profile import Profile, Shape
from qprobe.errors import InputError, UnavailableError
from qprobe.kernels.device import available_memory_bytes
from qprobe.kernels.registry import kernel_facts
from qprobe.kernels.sources import hash_sources
from qprobe.timing.allocator import keep_freed_memory
from qprobe.timing.progress import Progress, silent
from qprobe.timing.yardstick import time_yardstick


def run_bench(
    machine: Machine,
    device: str,
    shapes: Sequence[tuple[int, int]],
    m: Sequence[int],
    *,
    progress: Progress = silent,
) -> Profile:
    """Measure every kernel on every (N, K) of `shapes` at every M of `m`.

    On Ctrl-C the profile of what was measured comes back with `interrupted`. Raises InputError for
    sizes below 1 and UnavailableError where the device cannot be measured.
    """
    if not shapes or not m or min(*m, *(side for pair in shapes for side in pair)) < 1:
        raise InputError(
            f"cannot measure shapes {list(shapes)} at M = {list(m)}",
            "give at least one NxK and one M, each 1 or more",
        )
    wanted = [Shape(m=rows, n=n, k=k) for n, k in shapes for rows in m]
    return extend_profile(empty_profile(machine, device), wanted, progress=progress)


def empty_profile(machine: Machine, device: str) -> Profile:
    """A profile of the device with its peaks and without measurements of layers."""
    if device != "cpu":
        raise UnavailableError(
            f"cannot measure {device}: this version has kernels for the CPU only",
            "run with --device cpu",
        )
    if device not in machine.fingerprints:
        raise InputError(f"the machine document knows no device {device}", "probe this machine")
    keeps = keep_freed_memory()
    return Profile(
        fingerprint=machine.fingerprints[device],
        kernel_sources=hash_sources(),
        yardstick_s=time_yardstick(),
        keeps_freed_memory=keeps,
        threads=torch.get_num_threads(),
        copy_bandwidth_bytes_per_s=machine.cpu.copy_bandwidth_bytes_per_s,
        free_memory_bytes=available_memory_bytes(),
        peaks=measure_peaks(),
        launch_s=measure_launch(),
        kernels=kernel_facts(device),
        measurements=(),
        skipped=(),
        rest=(),
    )


def extend_profile(
    profile: Profile,
    shapes: Iterable[Shape],
    *,
    progress: Progress = silent,
    keep: Callable[[Profile], object] = lambda _: None,
) -> Profile:
    """The profile with these shapes measured as well; `keep` gets it after each shape.

    What comes back is at the speed that the machine had in the middle of the run.
    """
    keep_freed_memory()
    wanted = list(dict.fromkeys(shapes))
    speeds: list[float] = []
    for index, shape in enumerate(wanted):
        progress(f"timing M = {shape.m}, N = {shape.n}, K = {shape.k}", index / len(wanted))
        try:
            found = measure_shape(shape, profile.fingerprint.kind)
        except KeyboardInterrupt:
            profile = profile.model_copy(update={"interrupted": True})
            break
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
    if speeds:
        profile = at_speed(profile, statistics.median(speeds))
        keep(profile.model_copy(update={"interrupted": False}))
    progress("timed every shape", 1.0)
    return profile
