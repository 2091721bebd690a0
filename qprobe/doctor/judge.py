"""From what a method did in its process to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qprobe.doctor._method import Method
from qprobe.doctor._words import (
    CLEAR,
    blame,
    evidence,
    gain_is_clear,
    is_about_layer,
    loss_is_clear,
    paces,
    places,
    ran_out_of_time,
    refusals,
    sentence,
)
from qprobe.doctor.execution.report import PREPARING
from qprobe.documents.finding import Fix, Speed, Trial, Verdict


@dataclass(frozen=True)
class Outcome:
    """All that was heard of a method on a device."""

    trials: tuple[Trial, ...]
    speeds: tuple[Speed, ...]
    ending: str = ""
    """How its process ended, where that was not during a step and not as it should."""
    output: str = ""
    """The end of what it printed before it died."""
    lack: str = ""
    """What the device lacks that would make it fast, and what has it."""


def judge(method: Method, device: str, outcome: Outcome) -> Verdict:
    """The verdict that the evidence supports."""
    verdict, why = _verdict(outcome)
    if verdict in ("fast", "works", "slow"):
        why = sentence(why, method.note)
    return Verdict(
        method=method.id,
        device=device,
        verdict=verdict,
        why=why,
        evidence="measured",
        detail=evidence(outcome.trials, outcome.speeds, outcome.output),
        fix=_cure(method, outcome) if verdict in ("broken", "unsupported") else None,
        trials=outcome.trials,
        speeds=outcome.speeds,
    )


def _cure(method: Method, outcome: Outcome) -> Fix | None:
    """What is known to help; where the library cannot even be imported, its own files anew."""
    own = [need for need in method.needs if need != "torch"]
    is_whole = all(
        trial.outcome == "right" for trial in outcome.trials if trial.name.startswith("import ")
    )
    if is_whole or not own or any("|" in need for need in own):  # which of them is not known
        return method.cure
    return Fix(
        text="Install it anew, or the version that fits what is installed beside it.",
        commands=(f"pip install --force-reinstall --no-deps {' '.join(own)}",),
    )


def _verdict(outcome: Outcome) -> tuple[str, str]:
    prepared = (*PREPARING, "timing ")
    steps = [trial for trial in outcome.trials if not trial.name.startswith(prepared)]
    right = [trial for trial in steps if trial.outcome == "right"]
    bad = [trial for trial in outcome.trials if trial.outcome in ("died", "failed", "wrong")]
    late = [trial for trial in bad if ran_out_of_time(trial)]
    if right:  # What computes right is not broken by how long it takes to be timed.
        bad = [trial for trial in bad if trial not in late]
    refused = [trial for trial in steps if trial.outcome == "refused"]
    if bad:
        return "broken", blame(bad, right)
    if outcome.ending:
        return "broken", f"it {outcome.ending}"
    if not right:
        words = refused[0].words if refused else "it tried nothing"
        return "unsupported", sentence(words, outcome.lack)
    word, why = _pace(outcome.speeds)
    if not outcome.speeds and not all(map(is_about_layer, right)):
        worst = max(right, key=lambda trial: trial.error or 0.0)
        why = f"at worst, {worst.words}" if worst.words else "right"
    if late:
        why += f"; {places(late)} {late[0].words}: what it does there is not known"
    # What is no step of a type is something that it could have had.
    lacked = [trial for trial in refused if ", " not in trial.name]
    for words in refusals([trial for trial in refused if trial not in lacked], right):
        why += f"; refuses {words}"
    for trial in lacked:
        why += f"; without its {trial.name}: {trial.words}"
    if word == "slow":
        why = sentence(why, outcome.lack)
    return word, why


def _pace(speeds: Sequence[Speed]) -> tuple[str, str]:
    """`fast` where it is faster at some M, beyond the noise, and slower at none; `slow` likewise."""
    if not speeds:
        return "works", "right; it was not timed"
    is_fast = any(map(gain_is_clear, speeds)) and all(s.ratio > 1 / CLEAR for s in speeds)
    is_slow = any(map(loss_is_clear, speeds)) and all(s.ratio < CLEAR for s in speeds)
    word = "fast" if is_fast else "slow" if is_slow else "works"
    return word, paces(speeds)
