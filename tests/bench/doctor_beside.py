"""What counts as a contradiction between the doctor and the same method by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qprobe._discover import discover_in
from qprobe.documents.finding import Trial, Verdict

NEAR = 1.5
"""Two measurements of one ratio may differ by so much, beside the intervals of both."""
METHODS = {method.id: method for method in discover_in("qprobe.doctor.methods", "METHOD")}


@dataclass(frozen=True)
class StepByHand:
    """A step of the doctor, done by hand."""

    error: float | None
    """Relative, of the layer's output or of what a merge did to it; None: not finite, or none."""
    words: str = ""
    """What was raised, or how the process ended, where it did not come to an end."""
    is_dead: bool = False
    """Whether it took the process with it."""


@dataclass
class Hand:
    """What came out by hand."""

    steps: dict[str, StepByHand] = field(default_factory=dict)
    ratios: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """Rows → unquantized seconds over the method's: the median, and from where to where most rounds were."""
    words: str = ""
    """How it ended, where that was before its first step or after its last."""


def steps_of(verdict: Verdict) -> Iterator[str]:
    """What the doctor tried of a method, without imports, timing and what it only remarks; of what is not
    installed, one step, to see that it is not there."""
    if verdict.verdict == "not_installed":
        yield "bfloat16, M = 32, N = 256, K = 256"
    for trial in verdict.trials:
        if ", " in trial.name and not trial.name.startswith(("timing ", "import ")):
            yield trial.name


def compare(verdict: Verdict, hand: Hand) -> str:
    """Where the two contradict each other, in words; "" where they agree."""
    parts = [hand.words] if hand.words else []
    if verdict.verdict == "not_installed":
        parts += [
            f"not installed, but by hand {step.words or 'it runs'}"
            for step in hand.steps.values()
            if "ModuleNotFoundError" not in step.words and "PackageNotFoundError" not in step.words
        ]
        return "; ".join(parts)
    for trial in verdict.trials:
        step = hand.steps.get(trial.name)
        if step is not None and (by_hand := outcome(verdict, trial, step)) != kind(trial):
            error = "" if step.error is None else f" by {step.error:.2g}"
            parts.append(
                f"{trial.name}: {kind(trial)}, but by hand {by_hand}{error} {step.words}".strip()
            )
    for speed in verdict.speeds:
        ratio = hand.ratios.get(speed.m)
        if ratio is None:
            parts.append(f"M = {speed.m}: not timed by hand")
        elif ratio[2] < speed.ratio_low / NEAR or ratio[1] > speed.ratio_high * NEAR:
            told = f"{speed.ratio_low:.2g} to {speed.ratio_high:.2g}"
            parts.append(f"M = {speed.m}: {told}, by hand {ratio[1]:.2g} to {ratio[2]:.2g}")
    return "; ".join(parts)


def kind(trial: Trial) -> str:
    """What raises gives no output, however that is told; what reads where it may not is wrong or dies by chance."""
    kinds = {"refused": "raises", "failed": "raises", "wrong": "broken", "died": "broken"}
    return kinds.get(trial.outcome, trial.outcome)


def outcome(verdict: Verdict, trial: Trial, step: StepByHand) -> str:
    """The same of a step by hand."""
    if step.words:
        return "broken" if step.is_dead else "raises"
    is_right = step.error is not None and step.error <= explained(verdict, trial)
    return "right" if is_right else "broken"


def explained(verdict: Verdict, trial: Trial) -> float:
    """What the doctor explains of the step's error; what it explains anywhere, where it explains none there.

    By hand the output is compared with that of the weight as given, by the doctor with that of the weight
    as stored: what storing it may lose comes on top.
    """
    limits = [other.limit for other in verdict.trials if other.limit is not None]
    told = trial.limit if trial.limit is not None else max(limits, default=0.3)
    script = METHODS[verdict.method].script
    script = getattr(script, "args", (script,))[0]  # a layer with something before it
    lost: float = getattr(script, "weight_error", 0.0)
    return told + lost
