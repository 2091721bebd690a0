"""What the doctor found, and what each method does on each device."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qprobe.documents.base import Document, Flag, FloatDtype, Positive, Seconds, TopDocument
from qprobe.documents.machine import Machine

Status = Literal["ok", "warn", "fail", "skip", "crash"]


class Fix(Document):
    """What to do: in words, as commands, and where to read on."""

    text: str
    commands: tuple[str, ...] = ()
    """One after the other, unless `labels` say otherwise."""
    labels: tuple[str, ...] = ()
    """Of each command, which way out it belongs to ("(1)") or that it is another ("or"); or none."""
    link: str | None = None

    @model_validator(mode="after")
    def _a_label_a_command(self) -> Fix:
        if self.labels and len(self.labels) != len(self.commands):
            raise ValueError(f"{len(self.labels)} labels for {len(self.commands)} commands")
        return self

    def labelled(self) -> tuple[tuple[str, str], ...]:
        """Each command behind its label, "" where it has none."""
        return tuple(zip(self.labels or ("",) * len(self.commands), self.commands, strict=True))


class Finding(Document):
    """The answer to one check."""

    id: str
    title: str
    status: Status
    summary: str
    detail: str = ""
    fix: Fix | None = None


Relative = Annotated[float, Field(ge=0, strict=True)]


class Trial(Document):
    """One step of a method whose right outcome is known: an import, a forward pass, a merge.

    `refused`: it says itself that it cannot. `failed`: it raised something else. `died`: it took the
    process with it, or did not end.
    """

    name: str
    outcome: Literal["right", "wrong", "refused", "failed", "died"]
    error: Relative | None = None
    """‖y−ŷ‖/‖y‖ against the exact answer; None where there is none, or it is not finite."""
    limit: Relative | None = None
    """The error that the bits and the types involved explain."""
    words: str = ""


DISTURBED = 0.1
"""The share of the processors that others may take before a speed means little."""


class Speed(Document):
    """A layer's time beside that of the fastest unquantized layer, timed in turn."""

    m: Positive
    n: Positive
    k: Positive
    activation_dtype: FloatDtype
    median_s: Seconds
    unquantized_s: Seconds
    unquantized_dtype: FloatDtype
    ratio: Relative
    """Unquantized seconds over the method's: above 1 it is faster."""
    ratio_low: Relative
    ratio_high: Relative
    """Ends of the interval of the ratio at 95 %."""
    disturbance: Relative = 0.0
    """The share of the processors that this needed and others took meanwhile."""
    kernel: str = ""
    """Which of the method's own ways was the fastest, where it has several."""

    @property
    def is_disturbed(self) -> bool:
        """Whether others took so much meanwhile that the figure means little."""
        return self.disturbance >= DISTURBED


class Verdict(Document):
    """What a method does on a device, and how that is known.

    `slow`: slower than not quantizing, at every M that was timed. `broken`: it crashes, hangs or gives
    wrong numbers in at least one trial.
    """

    method: str
    device: str
    verdict: Literal["fast", "works", "slow", "broken", "unsupported", "not_installed"]
    why: str
    evidence: Literal["measured", "rule"]
    detail: str = ""
    fix: Fix | None = None
    trials: tuple[Trial, ...] = ()
    speeds: tuple[Speed, ...] = ()


class Diagnosis(TopDocument):
    """The whole answer of the doctor."""

    document: Literal["diagnosis"] = "diagnosis"
    machine: Machine
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
    disturbed_by: str = ""
    """What else kept the processors busy while methods were timed, in a sentence."""
    interrupted: Flag = False
    """Whether it was stopped before everything had been asked."""
