"""Leaves out of what libraries said who somebody is; the probe does the same for the machine."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qprobe.documents.finding import Diagnosis
from qprobe.documents.machine import Machine
from qprobe.probe.privacy import make_cleaner

USER = "USER"
_COMMON = {"root", "user", "localhost", "nobody", "ubuntu", "admin", "runner", "cpu", "cuda"}
"""Names that say nothing about anybody, some of which are words of ours."""
_SHORTEST = 3
_OURS = frozenset(
    {"id", "title", "status", "method", "device", "verdict", "evidence", "outcome", "kernel",
     "activation_dtype", "unquantized_dtype", "commands", "link"}
)  # fmt: skip
"""Fields that hold words of ours: a user may be called as one of them."""


def leave_out_persons(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis without the paths, names and identifiers that it may quote.

    The machine may be a recorded one, which somebody may have kept personal.
    """
    clean = _cleaner()
    return diagnosis.model_copy(
        update={
            "machine": _clean_machine(diagnosis.machine, clean),
            "findings": tuple(_walk(item, clean) for item in diagnosis.findings),
            "verdicts": tuple(_walk(item, clean) for item in diagnosis.verdicts),
            "disturbed_by": clean(diagnosis.disturbed_by),
        }
    )


def _clean_machine(machine: Machine, clean: Callable[[str], str]) -> Machine:
    """What the system and others worded; names of hardware and versions name nobody."""
    software, test = machine.software, machine.cpu.int8_self_test
    if test is not None:
        test = test.model_copy(update={"words": clean(test.words)})
    kept = {"os": clean(software.os), "environment": _clean(software.environment, clean)}
    return machine.model_copy(
        update={
            "cpu": machine.cpu.model_copy(update={"int8_self_test": test}),
            "software": software.model_copy(update=kept),
            "fingerprints": {
                device: item.model_copy(update={"software": _clean(item.software, clean)})
                for device, item in machine.fingerprints.items()
            },
            "unanswered": _clean(machine.unanswered, clean),
        }
    )


def _walk(item: Any, clean: Callable[[str], str]) -> Any:
    return type(item).model_validate(_clean(item.model_dump(), clean))


def _clean(value: Any, clean: Callable[[str], str]) -> Any:
    match value:
        case str():
            return clean(value)
        case list() | tuple():
            return tuple(_clean(item, clean) for item in value)
        case dict():
            return {key: v if key in _OURS else _clean(v, clean) for key, v in value.items()}
        case _:
            return value


def _cleaner() -> Callable[[str], str]:
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    with suppress(OSError, KeyError, ImportError):
        users.add(getpass.getuser())
    named = sorted(name for name in users if len(name) >= _SHORTEST and name not in _COMMON)
    pattern = "|".join(map(re.escape, named))
    persons = re.compile(rf"(?<![\w.-])(?:{pattern})(?![\w-])") if named else None
    host = platform.node()
    shorten = make_cleaner((host, host.partition(".")[0]))

    def clean(text: str) -> str:
        text = "\n".join(shorten(line) for line in text.split("\n"))
        return persons.sub(USER, text) if persons else text

    return clean
