"""Leaves out of a machine's document what says whose machine it is."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable

from qprobe.documents.machine import Fingerprint, Machine
from qprobe.probe.software import DISTRIBUTIONS

# Folders that are the same on everybody's machine.
_FOLDERS = (
    "bin",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "nix",
    "opt",
    "proc",
    "run",
    "sbin",
    "sys",
    "usr",
)
_SYSTEM = rf"/(?:{'|'.join(_FOLDERS)}|var/lib)(?:/|$)"
_HOLDERS = {"home", "homes", "users", "media"}
"""A folder right under one of these is a person's, wherever it lies."""
_PART = r"[^\s:;,'\"()<>|]"
_NAME = r"[^\s:;,'\"()<>|/\\]+"
# "…" before a slash is what a path was shortened to. A person's folder may have blanks, where a slash follows.
_PATH = re.compile(
    r"(?:(?<![\w./~…])(?!//)|(?<=file://))(?:~(?:[A-Za-z_][\w.-]*)?|[A-Za-z]:)?"
    rf"(?:[/\\](?:{_PART}*[/\\])?(?i:{'|'.join(sorted(_HOLDERS))})[/\\]+{_NAME}(?: {_NAME}){{1,3}}"
    rf"[/\\]{_PART}*|[/\\]{_PART}+)"
)
_IDENTIFIER = re.compile(r"(GPU|MIG)-[0-9a-f]{4,}(?:-[0-9a-f]{4,})*(?:/\d+/\d+)?", re.IGNORECASE)
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
    *_HOLDERS,
    *_FOLDERS,
}
"""Hosts may be called by words that say nothing of them, folders of every system among them."""


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
            "fingerprints": {
                device: _clean_fingerprint(item, clean)
                for device, item in machine.fingerprints.items()
            },
            "unanswered": {field: clean(words) for field, words in machine.unanswered.items()},
        }
    )


def _clean_fingerprint(item: Fingerprint, clean: Callable[[str], str]) -> Fingerprint:
    """Names of devices name nobody; variables may."""
    software = {name: clean(value) for name, value in item.software.items()}
    return item.model_copy(update={"software": software})


def make_cleaner(host_names: tuple[str, ...]) -> Callable[[str], str]:
    """A function that shortens paths to their last part and takes identifiers and host names out.

    Users' names stand in paths, and go with them. What is clean stays as it is.
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
    path = re.sub(r"[/\\]+", "/", found[0]).rstrip("/")
    *folders, last = path.split("/")
    if re.match(_SYSTEM, path) and not _HOLDERS.intersection(map(str.lower, folders)):
        return found[0]
    is_person = folders and folders[-1].lower() in _HOLDERS
    return "…" if is_person or (len(folders) < 3 and "." not in last) else f"…/{last}"


def _host_names() -> tuple[str, ...]:
    name = platform.node() or os.environ.get("HOSTNAME", "")
    return tuple(dict.fromkeys((name, name.partition(".")[0])))
