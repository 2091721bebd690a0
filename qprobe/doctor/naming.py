"""Whether a name on the command line is a check or a method."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from qprobe.doctor.runner import list_checks
from qprobe.doctor.trying import list_methods
from qprobe.errors import InputError


def sort_names(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The checks and the methods among names; raises InputError with the nearest for another."""
    checks = [check.id for check in list_checks()]
    methods = [method.id for method in list_methods()]
    for name in names:
        if name not in (*checks, *methods):
            close = get_close_matches(name, (*checks, *methods), n=3)
            known = f"known are checks: {', '.join(checks)}; methods: {', '.join(methods)}"
            raise InputError(
                f"there is no check or method {name!r:.40}",
                f"did you mean {' or '.join(close)}?" if close else known,
            )
    return tuple(n for n in names if n in checks), tuple(n for n in names if n in methods)
