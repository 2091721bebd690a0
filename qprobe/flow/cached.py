"""Finds what was measured on other devices, in the cache. Reads the disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from qprobe.documents.profile import Profile
from qprobe.timing.cache import list_kept, recall


def cached_profiles(weights: int) -> dict[str, Profile]:
    """Slug of the device → the profile of it that suits a model of so many weights in linears best.

    Best is what was measured for so many, then for as many as memory holds, then the newest.
    """
    found: dict[str, Profile] = {}
    for profile in all_profiles():
        known = found.get(profile.fingerprint.slug)
        if known is None or _suits(known, weights) < _suits(profile, weights):
            found[profile.fingerprint.slug] = profile
    return found


def _suits(profile: Profile, weights: int) -> tuple[bool, bool, datetime]:
    return profile.weights == weights, profile.weights is None, profile.created_utc


def all_profiles() -> Iterator[Profile]:
    """Every profile in the cache that this version can read, in the order of their names."""
    for path in list_kept("profile", "*.json"):
        profile = recall(Profile, path.stem)
        if profile is not None:
            yield profile
