"""Every CUDA kernel that there is a source of, read once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.manifest import Manifest, Role, find_kernels, read_manifest


@dataclass(frozen=True, eq=False)
class Source:
    """A `.cu` file; there is one object for each."""

    path: Path
    manifest: Manifest
    builds: dict[str, Build]
    """By name."""

    @property
    def name(self) -> str:
        """The stem of the file."""
        return self.path.stem

    def runnable_builds(self, capability: str) -> tuple[Build, ...]:
        """All that a card with the features can run: for its architecture or an older one, within its shared memory."""
        return tuple(
            build
            for build in self.builds.values()
            if _oldest(build) <= _number(capability)
            and build.shared_bytes <= arch.SHARED_BYTES.get(capability, build.shared_bytes)
        )

    def find_builds(
        self, scheme: str | None, dtype: torch.dtype | None, capability: str
    ) -> tuple[Build, ...]:
        """Those for a scheme and a type of activations, where the kernel has such, on a card.

        A build is for the oldest architecture that it lists and for later ones; of those that a card
        can run, the latest are for it.
        """
        found = [
            build
            for build in self.runnable_builds(capability)
            if (build.activation is None or build.activation == str(dtype)[6:])
            and (scheme is None or not build.schemes or scheme in build.schemes)
        ]
        latest = max((_oldest(build) for build in found), default=())
        return tuple(build for build in found if _oldest(build) == latest)


@functools.cache
def all_sources() -> dict[str, Source]:
    """Name → source, by name; none where this qprobe came without its folder of sources."""
    try:
        found = find_kernels()
    except UnavailableError:
        return {}
    return {name: read_source(path) for name, path in found.items()}


def sources_of(*roles: Role) -> tuple[Source, ...]:
    """The sources of kernels that do one of these."""
    return tuple(source for source in all_sources().values() if source.manifest.role in roles)


def _oldest(build: Build) -> tuple[int, ...]:
    return min(_number(target) for target in build.architectures)


def _number(target: str) -> tuple[int, ...]:
    """(8, 6) of "8.6", and (9, 0) of "9.0a"."""
    return tuple(map(int, arch.plain(target).split(".")))


def read_source(path: Path) -> Source:
    """The kernel in a file. Reads the disk."""
    manifest = read_manifest(path)
    return Source(path, manifest, {build.name: build for build in builds(manifest)})
