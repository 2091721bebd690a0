"""What machine code there is to judge: which builds of a kernel, for which architectures, by which compiler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from qprobe.documents import arch
from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.manifest import MachineCode, Manifest, read_manifest
from qprobe.kernels.cuda.portfolio import read_source


@dataclass(frozen=True)
class Pair:
    """One build of a kernel, for one architecture, by one line of compilers."""

    path: Path
    manifest: Manifest
    build: Build
    target: str
    cuda: int

    def __str__(self) -> str:
        build = f"[{self.build.name}]" if self.build.name else ""
        return f"{self.path.stem}{build}-{self.target}-cuda{self.cuda}"


def list_pairs(path: Path) -> list[Pair]:
    """Every build for every architecture that it lists."""
    manifest = read_manifest(path)
    return [
        Pair(path, manifest, build, target, cuda)
        for build in builds(manifest)
        for target in build.architectures
        for cuda in lines_for(target)
    ]


def chosen_pairs(path: Path) -> list[Pair]:
    """Every build for every architecture whose cards are given it, whether it is listed or not.

    A build for 8.0 is compiled for the card where it runs on 8.6, 10.0 or 12.1 as well.
    """
    source = read_source(path)
    manifest = source.manifest
    allowed = {"native", "emulated"} if manifest.role == "peak" else {"native"}
    pairs: dict[str, Pair] = {}
    for capability in arch.CAPABILITIES:
        if not {arch.support(f, capability) for f in manifest.requires} <= allowed:
            continue
        target = arch.target_for(capability, manifest.requires)
        for scheme in manifest.schemes or (None,):
            for activation in manifest.activations or (None,):
                dtype = None if activation is None else getattr(torch, activation)
                for build in source.find_builds(scheme, dtype, capability):
                    for cuda in lines_for(target):
                        pair = Pair(path, manifest, build, target, cuda)
                        pairs[str(pair)] = pair
    return list(pairs.values())


def all_pairs(path: Path) -> list[Pair]:
    """What is listed, and what is chosen besides."""
    pairs = [*list_pairs(path), *chosen_pairs(path)]
    return list({str(pair): pair for pair in pairs}.values())


def spread_pairs(path: Path) -> list[Pair]:
    """Every variant for every architecture, and each activation type of a variant for some of them.

    All would take minutes, and what differs with the type is little: the first architecture has the first
    type, the second the second, and so on. Architectures that are not listed, but whose cards are given the
    kernel as well, have one build each. `make machinecode` judges all that there is.
    """
    chosen: list[Pair] = []
    for _, group in groupby(list_pairs(path), key=lambda pair: pair.build.variant):
        of_build: dict[str, list[Pair]] = defaultdict(list)
        for pair in group:
            of_build[pair.build.name].append(pair)
        columns = list(of_build.values())
        for row in range(max(len(columns), len(columns[0]))):
            chosen.append(columns[row % len(columns)][row % len(columns[0])])
    listed = {pair.target for pair in chosen}
    others: dict[tuple[str, int], list[Pair]] = defaultdict(list)
    for pair in all_pairs(path):
        if pair.target not in listed:
            others[pair.target, pair.cuda].append(pair)
    # Another build for each of them, so that together they see as many as there are.
    return chosen + [those[turn % len(those)] for turn, those in enumerate(others.values())]


def lines_for(target: str) -> tuple[int, ...]:
    """The CUDA versions to build with: 12 has what is before 7.5, both have 7.5, 13 what is after."""
    capability = arch.plain(target)
    if arch.CAPABILITIES.index(capability) < arch.CAPABILITIES.index("7.5"):
        return (12,)
    return (12, 13) if capability == "7.5" else (13,)


def asked_of(pair: Pair) -> MachineCode:
    """What the manifest asks of the code: where it tells architectures apart, the latest before the pair's own counts."""
    sass = pair.build.sass
    if not isinstance(sass, dict):
        return sass
    own = arch.CAPABILITIES.index(arch.plain(pair.target))
    places = {arch.CAPABILITIES.index(arch.plain(target)): target for target in sass}
    return sass[places[max((place for place in places if place <= own), default=min(places))]]


def uncovered(path: Path, pairs: Iterable[Pair]) -> list[str]:
    """Builds that are listed for an architecture, or that its cards are given, and that none of the pairs judges there."""
    judged = set(map(str, pairs))
    return [str(pair) for pair in all_pairs(path) if str(pair) not in judged]


def without_build(path: Path) -> list[str]:
    """Architectures that a kernel lists and no build of it is for."""
    covered = {pair.target for pair in list_pairs(path)}
    return [target for target in read_manifest(path).architectures if target not in covered]
