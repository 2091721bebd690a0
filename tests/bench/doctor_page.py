"""The doctor and each method by hand side by side, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from qprobe.documents.finding import Diagnosis, Verdict
from tests.bench.doctor_beside import Hand, StepByHand, compare
from tests.bench.minilm import describe_commit

EXPECTED = {
    "peft-merge-nf4": "broken",
    "hqq-int4": "slow", "hqq-int8": "slow", "torchao-int8": "slow",
    "torch-int8pack-fp32": "slow", "torch-int4pack-fp32": "slow",
}  # fmt: skip
"""What the doctor is to find unprompted on a processor."""


def page(diagnosis: Diagnosis, hands: Sequence[tuple[Verdict, Hand]]) -> str:
    """Both side by side, and what does not agree."""
    apart = [
        f"- {verdict.method}: {words}"
        for verdict, hand in hands
        if (words := compare(verdict, hand))
    ]
    commit = describe_commit()
    lines = [
        "# doctor --full beside each library by hand", "",
        f"{diagnosis.machine.cpu.model}, {datetime.now(UTC):%Y-%m-%d}, commit {commit['commit']}"
        f"{', with changes' if commit['dirty'] else ''}. Made by `python -m tests.bench.doctor_full`.",
        "", f"{len(hands) - len(apart)} of {len(hands)} agree. Ratios are times as fast as the unquantized "
        "layer (2048 × 2048, weights cold): the doctor's with the 95 % interval of their median, "
        "those by hand, in a rotation over as many layers as no cache holds, with the middle of their rounds. Errors by hand are those of the given weight, the "
        "worst and the best of all steps that gave an output.", "",
        *(apart or ["Nothing contradicts."]), "",
        "| method | doctor | its ratios | by hand | steps by hand: error |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for verdict, hand in hands:
        ours = "<br>".join(
            f"M={s.m}: {s.ratio:.2g} ({s.ratio_low:.2g} to {s.ratio_high:.2g})"
            for s in verdict.speeds
        )
        theirs = "<br>".join(
            f"M={m}: {ratio:.2g} ({low:.2g} to {high:.2g})"
            for m, (ratio, low, high) in hand.ratios.items()
        )
        words = "; ".join(_steps(hand))
        row = (verdict.method, verdict.verdict, ours or "–", theirs or "–", words)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    lines += ["", "What it finds unprompted:", ""]
    found = {verdict.method: verdict.verdict for verdict in diagnosis.verdicts}
    lines += [
        f"- {method}: {found.get(method, 'not tried')} (expected: {word})"
        for method, word in EXPECTED.items()
    ]
    if broken := list(_broken(hands)):
        lines += ["", "What is broken, and the same by hand:", "", *broken]
    if diagnosis.disturbed_by:
        lines += ["", f"While methods were timed, {diagnosis.disturbed_by}."]
    return "\n".join(lines) + "\n"


def _steps(hand: Hand) -> Iterator[str]:
    """The errors of all that gave one, then what was raised, each once."""
    errors = [step.error for step in hand.steps.values() if not step.words]
    finite = sorted(error for error in errors if error is not None)
    if finite:
        ends = dict.fromkeys((f"{finite[0]:.2g}", f"{finite[-1]:.2g}"))
        yield f"{len(finite)} with {' to '.join(ends)}"
    if len(finite) < len(errors):
        yield f"{len(errors) - len(finite)} not finite"
    raised: dict[str, int] = {}
    for step in hand.steps.values():
        if step.words:
            raised[step.words[:90]] = raised.get(step.words[:90], 0) + 1
    yield from (f"{count} × {' '.join(words.split())}" for words, count in raised.items())


def _broken(hands: Sequence[tuple[Verdict, Hand]]) -> Iterator[str]:
    """Each step that is not right, the doctor's figure and the one by hand."""
    for verdict, hand in hands:
        for trial in verdict.trials:
            step = hand.steps.get(trial.name)
            if (
                verdict.verdict == "broken"
                and step
                and trial.outcome in ("wrong", "failed", "died")
            ):
                told = _figure(StepByHand(trial.error, trial.words if trial.error is None else ""))
                yield f"- {verdict.method}, {trial.name}: {trial.outcome}, {told}; by hand {_figure(step)}"


def _figure(step: StepByHand) -> str:
    if step.words:
        return step.words[:120]
    return "not finite" if step.error is None else f"off by {step.error:.2g}"
