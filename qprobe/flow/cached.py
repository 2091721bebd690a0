"""Finds what was measured on other devices, in the cache. Reads the disk."""

from __future__ import annotations

from collections.abc import Iterator

from qprobe.documents.profile import Profile
from qprobe.timing.cache import cache_folder, recall


def cached_profiles() -> dict[str, Profile]:
    """Slug of the device → the newest profile of it that the cache holds."""
    found: dict[str, Profile] = {}
    for profile in all_profiles():
        known = found.get(profile.fingerprint.slug)
        if known is None or known.created_utc < profile.created_utc:
            found[profile.fingerprint.slug] = profile
    return found


def all_profiles() -> Iterator[Profile]:
    """Every profile in the cache that this version can read, in the order of their names."""
    for path in sorted(cache_folder("profile").glob("*.json")):
        profile = recall(Profile, path.stem)
        if profile is not None:
            yield profile
