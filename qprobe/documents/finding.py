"""What the doctor found, and what each method does on each device."""

from __future__ import annotations

from typing import Literal

from qprobe.documents.base import Document, TopDocument
from qprobe.documents.machine import Machine

Status = Literal["ok", "warn", "fail", "skip", "crash"]


class Fix(Document):
    """What to do: in words, as commands, and where to read on."""

    text: str
    commands: tuple[str, ...] = ()
    link: str | None = None


class Finding(Document):
    """The answer to one check."""

    id: str
    title: str
    status: Status
    summary: str
    detail: str = ""
    fix: Fix | None = None


class Verdict(Document):
    """What a method does on a device, and how that is known."""

    method: str
    device: str
    verdict: Literal["fast", "works", "slow", "broken", "unsupported", "not_installed"]
    why: str
    evidence: Literal["measured", "rule"]
    detail: str = ""
    fix: Fix | None = None


class Diagnosis(TopDocument):
    """The whole answer of the doctor."""

    document: Literal["diagnosis"] = "diagnosis"
    machine: Machine
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
