"""`doctor --full` beside each method's own library by hand: `python -m tests.bench.doctor_full`.

In the environment of `make peers`. The doctor runs first; then each method once more, in a process of its own, by
the few lines that somebody would write who knows the library. Writes both side by side to reports/, and ends
with 1 where they disagree. Takes some ten minutes; nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qprobe._discover import discover_in
from qprobe.documents.files import parse_document, write_text
from qprobe.documents.finding import Diagnosis, Verdict
from tests.bench.minilm import describe_commit

ROOT = Path(__file__).parents[2]
BY_HAND = (sys.executable, "-m", "tests.bench.doctor_by_hand")
LIMIT_S = 600.0
NEAR = 1.5
"""Two measurements of one ratio may differ by so much, beside the doctor's own interval."""
METHODS = {method.id: method for method in discover_in("qprobe.doctor.methods", "METHOD")}
EXPECTED = {
    "peft-merge-nf4": "broken",
    "hqq-int4": "slow", "hqq-int8": "slow", "torchao-int8": "slow",
    "torch-int8pack-fp32": "slow", "torch-int4pack-fp32": "slow",
}  # fmt: skip
"""What the doctor is to find unprompted on a processor."""


@dataclass(frozen=True)
class Hand:
    """What came out by hand."""

    error: float | None
    """Relative, of the layer's output or of what a merge did to it; None: not finite."""
    ratios: dict[int, float]
    """Rows → unquantized seconds over the method's."""
    words: str = ""
    """How it ended, where it did not come to an end."""


def run_doctor() -> Diagnosis:
    """The real command, its JSON."""
    command = [sys.executable, "-m", "qprobe", "doctor", "--full", "--json", "--device", "cpu"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    return parse_document(Diagnosis, done.stdout, "doctor --full --json")


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def run_by_hand(verdict: Verdict) -> Hand | None:
    """The same method in a process of its own; None where nobody has written it down."""
    dtype = verdict.speeds[0].activation_dtype if verdict.speeds else "bfloat16"
    rows = ",".join(str(speed.m) for speed in verdict.speeds) or "1,32"
    try:
        done = subprocess.run(
            [*BY_HAND, verdict.method, dtype, rows],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return Hand(None, {}, f"no end within {LIMIT_S:g} s")
    line = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not line.startswith("{"):
        last = done.stderr.strip().rpartition("\n")[2]
        return Hand(None, {}, f"status {done.returncode}: {last:.120}")
    found = json.loads(line)
    if not found:
        return None
    return Hand(found["error"], {int(m): ratio for m, ratio in found["ratios"].items()})


def compare(verdict: Verdict, hand: Hand) -> str:
    """Where the two contradict each other, in words; "" where they agree."""
    is_wrong = hand.error is None or hand.error > largest_limit(verdict)
    if verdict.verdict in ("broken", "unsupported", "not_installed"):
        is_bad = is_wrong or bool(hand.words)
        # The doctor tries more shapes: what is right by hand at one may be broken at another.
        is_partly = any(trial.outcome == "right" for trial in verdict.trials if "," in trial.name)
        return "" if is_bad or is_partly else f"{verdict.verdict}, but right by hand"
    if hand.words:
        return f"{verdict.verdict}, but by hand: {hand.words}"
    if is_wrong:
        return f"right, but by hand off by {hand.error}"
    apart = [
        f"M = {speed.m}: {speed.ratio_low:.2g} to {speed.ratio_high:.2g}, by hand {ratio:.2g}"
        for speed in verdict.speeds
        if (ratio := hand.ratios.get(speed.m)) is not None
        and not speed.ratio_low / NEAR <= ratio <= speed.ratio_high * NEAR
    ]
    return "; ".join(apart)


def largest_limit(verdict: Verdict) -> float:
    """What the doctor explains of this method's error; generous where it explains none.

    By hand the output is compared with that of the weight as given, by the doctor with that of the weight
    as stored: what storing it may lose comes on top.
    """
    told = max((trial.limit for trial in verdict.trials if trial.limit is not None), default=0.3)
    lost: float = getattr(METHODS[verdict.method].script, "weight_error", 0.0)
    return told + lost


def page(diagnosis: Diagnosis, hands: Sequence[tuple[Verdict, Hand | None]]) -> str:
    """Both side by side, and what does not agree."""
    compared = [(verdict, hand) for verdict, hand in hands if hand is not None]
    apart = [
        f"- {verdict.method}: {words}"
        for verdict, hand in compared
        if (words := compare(verdict, hand))
    ]
    commit = describe_commit()
    lines = [
        "# doctor --full beside each library by hand", "",
        f"{diagnosis.machine.cpu.model}, {datetime.now(UTC):%Y-%m-%d}, commit {commit['commit']}"
        f"{', with changes' if commit['dirty'] else ''}. Made by `python -m tests.bench.doctor_full`.",
        "", f"{len(compared) - len(apart)} of {len(compared)} agree; ratios are times as fast as the "
        "unquantized layer (2048 × 2048, weights cold).", "",
        *(apart or ["Nothing contradicts."]), "",
        "| method | doctor | its ratios | by hand: error | ratios |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for verdict, hand in hands:
        ours = ", ".join(f"M={s.m}: {s.ratio:.2g}" for s in verdict.speeds) or "–"
        theirs = "not written down" if hand is None else hand.words or _figure(hand.error)
        ratios = ", ".join(f"M={m}: {r:.2g}" for m, r in hand.ratios.items()) if hand else ""
        lines.append(
            f"| {verdict.method} | {verdict.verdict} | {ours} | {theirs} | {ratios or '–'} |"
        )
    lines += ["", "What it finds unprompted:", ""]
    found = {verdict.method: verdict.verdict for verdict in diagnosis.verdicts}
    lines += [
        f"- {method}: {found.get(method, 'not tried')} (expected: {word})"
        for method, word in EXPECTED.items()
    ]
    if diagnosis.disturbed_by:
        lines += ["", f"While methods were timed, {diagnosis.disturbed_by}."]
    return "\n".join(lines) + "\n"


def _figure(error: float | None) -> str:
    return "not finite" if error is None else f"{error:.2g}"


def main() -> int:
    """Run both and write the page."""
    diagnosis = run_doctor()
    hands = []
    for verdict in diagnosis.verdicts:
        print(f"by hand: {verdict.method}", file=sys.stderr, flush=True)
        hands.append((verdict, run_by_hand(verdict)))
    slug = diagnosis.machine.fingerprints["cpu"].slug
    folder = ROOT / "reports" / slug
    folder.mkdir(parents=True, exist_ok=True)
    text = page(diagnosis, hands)
    write_text(text, folder / f"doctor-full-{datetime.now(UTC):%Y-%m-%d}.md")
    print(text)
    return int(any(hand is not None and bool(compare(verdict, hand)) for verdict, hand in hands))


if __name__ == "__main__":
    sys.exit(main())
