"""Can measurements be kept between runs?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine


def check_cache(machine: Machine) -> Finding:
    """Warn where the folder cannot be written."""
    writable = machine.host.cache_is_writable if machine.host else None
    if writable is None:
        return CHECK.skip("unknown")
    if writable:
        return CHECK.ok("can be written")
    return CHECK.warn(
        "cannot be written",
        "Measurements and built kernels are kept in the user's cache folder, which is read-only or not "
        "there: every plan measures anew.",
        Fix(
            text="Name a folder that can be written.",
            commands=("export QPROBE_CACHE=/tmp/qprobe",),
        ),
    )


CHECK = Check(
    id="cache",
    title="Cache",
    why="measuring takes minutes, and is done once where its result can be kept",
    needs=(),
    asks=(),
    run=check_cache,
)
