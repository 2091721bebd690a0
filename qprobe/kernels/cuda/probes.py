"""Kernels that compute nothing of use: what a card reaches at best, in copying and in each unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import driver, suspects
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.known_answers import growth_of, is_floating
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.manifest import Manifest
from qprobe.kernels.cuda.portfolio import Source, sources_of

VECTOR = 16
"""Bytes that the copy counts in."""
BLOCKS_PER_SM = 4
ITERATIONS = 2048
"""So many that starting the kernel does not count: a launch computes some 10¹¹ operations."""


FEW_ITERATIONS = 6
"""Of a run that is compared with the known answer: every sum of floating-point numbers is exact."""

UNITS: dict[str, tuple[str, ...]] = {
    "peak_fp8": ("qmma_16832_fp8",),
    "peak_imma": ("imma_8816", "imma_16832"),
    "peak_imma_s4": ("imma_8832_s4", "imma_16864_s4"),
}
"""Probe that takes what an architecture has, native or not → the features of which one is enough."""


@dataclass(frozen=True)
class PeakProbe:
    """One unit of a card, kept busy from registers."""

    name: str
    support: Literal["native", "emulated"]
    ops: int
    """Operations of one run."""
    run: Callable[[], None]
    find_fault: Callable[[], str]
    """Runs it a few times and compares: what is wrong with its answer; "" if nothing is. Waits for the card."""


def copy_on(source: Tensor, target: Tensor) -> None:
    """Copy contiguous memory on its device, whole vectors of 16 bytes."""
    (kernel,) = sources_of("copy")
    count = source.numel() * source.element_size() // VECTOR
    index = source.device.index or 0
    (build,) = kernel.builds
    Call(kernel, build, index, {"n": count}, ("x", "y")).run(source, target)


def list_peaks(device: torch.device) -> list[PeakProbe]:
    """The probes of all units that the card has or emulates, ready to run; those that fail are left out."""
    card = driver.find_card(device.index)
    found = []
    for source in sources_of("peak"):
        support = _support(source, card)
        if support is None or suspects.find_crash(source, card):
            continue
        for build in source.builds.values():
            if build not in source.find_builds(None, _dtype(build), card.capability):
                continue
            try:
                found.append(_make(source, build, support, card, device))
            except UnavailableError:
                continue  # No compiler here builds it: nothing can be known of the unit.
    return found


def absent_peaks(device: torch.device) -> dict[str, str]:
    """Name of a probe → why the card has no such rate."""
    card = driver.find_card(device.index)
    found = {}
    for source in sources_of("peak"):
        if _support(source, card) is None:
            features = source.manifest.requires or UNITS[source.name]
            found[source.name] = (
                f"compute capability {card.capability} has no {' or '.join(features)}"
            )
        elif (words := driver.current().find_build_obstacle(card, source.manifest.requires)) or (
            words := suspects.find_crash(source, card)
        ):
            found[source.name] = words
    return found


def _support(source: Source, card: Card) -> Literal["native", "emulated"] | None:
    """How the card has what the probe needs; None where it has not, or nobody knows."""
    answers = {arch.support(f, card.capability, card.name) for f in source.manifest.requires}
    if any_of := UNITS.get(source.name):
        found = {arch.support(f, card.capability, card.name) for f in any_of}
        answers.add("native" if "native" in found else next(iter(found - {"absent"}), "absent"))
    if answers & {"absent", None}:
        return None
    return "emulated" if "emulated" in answers else "native"


def _make(
    source: Source,
    build: Build,
    support: Literal["native", "emulated"],
    card: Card,
    device: torch.device,
) -> PeakProbe:
    blocks, tile = BLOCKS_PER_SM * card.sm_count, build.tile
    results = torch.empty(blocks * build.threads, dtype=torch.int32, device=device)

    def prepare(iterations: int) -> Call:
        counts = {"split": blocks, "iterations": iterations}
        return Call(source, build.name, card.index, counts, ("y",))

    call, short = prepare(ITERATIONS), prepare(FEW_ITERATIONS)
    name = source.name if build.activation is None else f"{source.name} {build.activation}"

    def find_fault() -> str:
        with suspects.trial(source, card.index):
            results.fill_(-1)
            short.run(results)
            return _compare(source.manifest, name, results)

    ops = 2 * tile.m * tile.n * tile.k * blocks * ITERATIONS
    return PeakProbe(name, support, ops, lambda: call.run(results), find_fault)


def _compare(manifest: Manifest, name: str, results: Tensor) -> str:
    """What is wrong with the sums of all threads after FEW_ITERATIONS; "" if nothing is."""
    found = results.view(torch.float32) if is_floating(manifest) else results
    wanted = growth_of(manifest) * FEW_ITERATIONS
    wrong = found != wanted
    count = int(wrong.sum())
    if not count:
        return ""
    first = found[wrong][0].item()
    return f"{name} computes {first:g} in {count} of {len(found)} threads, not {wanted:g}"


def _dtype(build: Build) -> torch.dtype | None:
    return None if build.activation is None else getattr(torch, build.activation)
