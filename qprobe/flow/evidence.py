"""Finds the profiles behind a plan or of a machine, for pages that show measurements. Reads the disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from qprobe.documents.files import load_document
from qprobe.documents.machine import Fingerprint, Machine
from qprobe.documents.plan import Plan
from qprobe.documents.profile import Profile
from qprobe.flow.cached import all_profiles


def profiles_of_plan(plan: Plan, files: Sequence[Path] = ()) -> dict[str, Profile]:
    """Slug → the profile that the section was made from, of those in files or else in the cache.

    A profile is told by its yardstick, which no two runs measure alike.
    """
    known = [load_document(Profile, file) for file in files] if files else list(all_profiles())
    found = {}
    for slug, section in plan.targets.items():
        for profile in known:
            if (profile.fingerprint, profile.yardstick_s) == (
                section.fingerprint,
                section.yardstick_s,
            ):
                found[slug] = profile
    return found


def profiles_of_machine(machine: Machine) -> dict[str, Profile]:
    """Slug → the newest profile in the cache that was measured on the very same device."""
    return {
        slug: max(alike, key=lambda profile: profile.created_utc)
        for slug, alike in _by_device(machine.fingerprints.values(), all_profiles()).items()
    }


def _by_device(
    devices: Iterable[Fingerprint], profiles: Iterable[Profile]
) -> dict[str, list[Profile]]:
    wanted = {device.slug: device for device in devices}
    found: dict[str, list[Profile]] = {}
    for profile in profiles:
        slug = profile.fingerprint.slug
        if wanted.get(slug) == profile.fingerprint:
            found.setdefault(slug, []).append(profile)
    return found
