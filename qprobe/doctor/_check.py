"""What a check is, and how it words its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

Question = Literal["facts", "bandwidth", "int8", "bf16", "compilers"]
"""What the probe asks of torch: what it is and sees, and what running something tells."""
EVERYTHING: tuple[Question, ...] = ("facts", "bandwidth", "int8", "bf16", "compilers")


@dataclass(frozen=True)
class Check:
    """A question about a machine; `run` answers it from the document alone.

    `needs` names checks without whose ok (or warn) the question makes no sense.
    """

    id: str
    title: str
    why: str
    needs: tuple[str, ...]
    run: Callable[[Machine], Finding]
    asks: tuple[Question, ...] = EVERYTHING
    """What has to be asked of torch before it can answer; all else the system tells at once."""
    tells_hidden: bool = False
    """Whether it is given the cards that the process may not use, too."""

    def ok(self, summary: str, detail: str = "") -> Finding:
        """Nothing to do."""
        return Finding(id=self.id, title=self.title, status="ok", summary=summary, detail=detail)

    def skip(self, summary: str, detail: str = "") -> Finding:
        """Not a question here, or not answered."""
        return Finding(id=self.id, title=self.title, status="skip", summary=summary, detail=detail)

    def warn(self, summary: str, detail: str, fix: Fix) -> Finding:
        """It works, but not as well as it could."""
        return Finding(
            id=self.id, title=self.title, status="warn", summary=summary, detail=detail, fix=fix
        )

    def fail(self, summary: str, detail: str, fix: Fix) -> Finding:
        """Something does not work until it is fixed."""
        return Finding(
            id=self.id, title=self.title, status="fail", summary=summary, detail=detail, fix=fix
        )


def version_of(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, "2.13.0+cpu" → (2, 13, 0)."""
    numbers: list[int] = []
    for part in text.partition("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:  # "0rc1"
            break
    return tuple(numbers)
