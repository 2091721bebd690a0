"""Leaves out of a machine's document what says whose machine it is."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable

from qprobe.documents.machine import Machine
from qprobe.probe.software import DISTRIBUTIONS

# Folders that are the same on everybody's machine.
_SYSTEM = r"/(?:bin|dev|etc|lib|lib32|lib64|nix|opt|proc|run|sbin|sys|usr|var/lib)(?:/|$)"
_PATH = re.compile(r"(?<![\w./~])(?!//)(?:~|[A-Za-z]:)?[/\\](?:[^\s:;,'\"()<>|]+)")
_IDENTIFIER = re.compile(r"\b(GPU|MIG)-[0-9a-f]{4,}(?:-[0-9a-f]{4,})*(?:/\d+/\d+)?", re.IGNORECASE)
_SHORTEST_NAME = 3
_WORDS = {
    *DISTRIBUTIONS,
    "localhost",
    "linux",
    "python",
    "cpu",
    "gpu",
    "cuda",
    "nvml",
    "nvidia",
    "import",
}
"""Hosts may be called by words that say nothing of them."""


def leave_out_personal(machine: Machine) -> Machine:
    """The machine with the words that others wrote stripped of paths, names and identifiers."""
    clean = make_cleaner(_host_names())
    software, test = machine.software, machine.cpu.int8_self_test
    if test is not None:
        test = test.model_copy(update={"words": clean(test.words)})
    environment = {name: clean(value) for name, value in software.environment.items()}
    return machine.model_copy(
        update={
            "cpu": machine.cpu.model_copy(update={"int8_self_test": test}),
            "software": software.model_copy(update={"environment": environment}),
            "unanswered": {field: clean(words) for field, words in machine.unanswered.items()},
        }
    )


def make_cleaner(host_names: tuple[str, ...]) -> Callable[[str], str]:
    """A function that shortens paths to their last part and takes identifiers and host names out.

    Users' names stand in paths, and go with them.
    """
    names = [
        re.escape(name)
        for name in host_names
        if len(name) >= _SHORTEST_NAME and name.lower() not in _WORDS
    ]
    hosts = re.compile(rf"(?<![\w.-])(?:{'|'.join(names)})(?![\w-])") if names else None

    def clean(words: str) -> str:
        words = _PATH.sub(_shorten, words)
        words = _IDENTIFIER.sub(lambda found: f"{found[1]}-…", words)
        return hosts.sub("HOST", words) if hosts else words

    return clean


def _shorten(found: re.Match[str]) -> str:
    path = found[0].replace("\\", "/")
    if re.match(_SYSTEM, path) and "/home/" not in path:
        return found[0]
    last = path.rstrip("/").rpartition("/")[2]
    # A folder right under /home is a person's.
    return "…" if path.rstrip("/").count("/") < 3 and "." not in last else f"…/{last}"


def _host_names() -> tuple[str, ...]:
    name = platform.node() or os.environ.get("HOSTNAME", "")
    return tuple(dict.fromkeys((name, name.partition(".")[0])))
