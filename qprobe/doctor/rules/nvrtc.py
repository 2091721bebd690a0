"""Which cards each version of NVRTC builds for, for machines on which it was not asked."""

from __future__ import annotations

from collections.abc import Mapping

from qprobe.doctor._check import version_of

# Asked of every wheel: first version → compute capabilities.
_LISTS: tuple[tuple[tuple[int, ...], str], ...] = (
    ((11, 8), "5.0 5.2 5.3 6.0 6.1 6.2 7.0 7.2 7.5 8.0 8.6 8.7 8.9 9.0"),
    ((12, 8), "5.0 5.2 5.3 6.0 6.1 6.2 7.0 7.2 7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.1 12.0"),
    ((12, 9), "5.0 5.2 5.3 6.0 6.1 6.2 7.0 7.2 7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.1 10.3 12.0 12.1"),
    ((13, 0), "7.5 8.0 8.6 8.7 8.8 8.9 9.0 10.0 10.3 11.0 12.0 12.1"),
    ((13, 4), "7.5 8.0 8.6 8.7 8.8 8.9 9.0 10.0 10.3 10.7 11.0 12.0 12.1"),
)
WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc-cu11")


def find_versions(packages: Mapping[str, str]) -> tuple[str, ...]:
    """Of pip's packages that are installed: "13.5", "12.9"."""
    found = (version_of(packages[name])[:2] for name in WHEELS if name in packages)
    return tuple(".".join(map(str, version)) for version in found if version)


def architectures_of(version: str) -> tuple[str, ...]:
    """What a version builds for, by the last list that is not newer than it."""
    lists = [built for first, built in _LISTS if first <= version_of(version)]
    return tuple(lists[-1].split()) if lists else ()
