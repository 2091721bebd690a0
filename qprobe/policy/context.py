"""What rules look at, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.documents.objective import Objective
from qprobe.policy.candidates import Candidate
from qprobe.policy.error import ErrorModel


@dataclass(frozen=True, slots=True)
class Context:
    """The facts that candidates are judged by."""

    model: Model
    objective: Objective
    groups: Mapping[str, Sequence[Linear]]
    errors: ErrorModel
    unquantized: Mapping[tuple[str, FloatDtype], Sequence[Candidate]]
    """(Group, compute type) → its candidates that do not quantize and can run."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A possible objection: candidate and context to reasons, none where there is no objection.

    All rules run on all candidates and none sees another's answer, so their order cannot matter.
    """

    name: str
    objections: Callable[[Candidate, Context], tuple[str, ...]]
    yields_to_memory: bool = False
    """Whether the objection is lifted where no plan fits the memory otherwise."""


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate and what the rules say of it."""

    candidate: Candidate
    forbidden: tuple[str, ...]
    discouraged: tuple[str, ...]
    """Objections that yield to memory."""

    def is_allowed(self, *, under_pressure: bool) -> bool:
        """Whether it may be chosen; under pressure, what yields to memory has yielded."""
        return not self.forbidden and (under_pressure or not self.discouraged)


def judge(candidate: Candidate, context: Context, rules: Sequence[Rule]) -> Option:
    """Ask every rule about a candidate."""
    said = [(rule, found) for rule in rules if (found := rule.objections(candidate, context))]
    return Option(
        candidate,
        forbidden=tuple(r for rule, reasons in said if not rule.yields_to_memory for r in reasons),
        discouraged=tuple(r for rule, reasons in said if rule.yields_to_memory for r in reasons),
    )
