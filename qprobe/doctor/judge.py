"""From what a method did in its process to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from qprobe.doctor._method import Method
from qprobe.documents.finding import Speed, Trial, Verdict

CLEAR = 1.05
"""Ratios nearer to 1 than this make no difference to anybody."""
MANY = 10.0


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
        why = _sentence(why, method.note)
    return Verdict(
        method=method.id,
        device=device,
        verdict=verdict,
        why=why,
        evidence="measured",
        detail=_detail(outcome),
        fix=method.cure if verdict in ("broken", "unsupported") else None,
        trials=outcome.trials,
        speeds=outcome.speeds,
    )


def _verdict(outcome: Outcome) -> tuple[str, str]:
    steps = [trial for trial in outcome.trials if not trial.name.startswith(("import ", "timing "))]
    right = [trial for trial in steps if trial.outcome == "right"]
    bad = [trial for trial in outcome.trials if trial.outcome in ("died", "failed", "wrong")]
    refused = [trial for trial in steps if trial.outcome == "refused"]
    if bad:
        return "broken", _blame(bad, right)
    if outcome.ending:
        return "broken", f"it {outcome.ending}"
    if not right:
        words = refused[0].words if refused else "it tried nothing"
        return "unsupported", _sentence(words, outcome.lack)
    word, why = _pace(outcome.speeds)
    if not outcome.speeds and not _is_about_layers(right):
        why = "; ".join(dict.fromkeys(trial.words for trial in right if trial.words)) or "right"
    types = {_type(trial) for trial in right}
    if strict := [trial for trial in refused if _type(trial) not in types]:
        why += f"; refuses {', '.join(dict.fromkeys(map(_type, strict)))}: {strict[0].words}"
    if word == "slow":
        why = _sentence(why, outcome.lack)
    return word, why


def _blame(bad: Sequence[Trial], right: Sequence[Trial]) -> str:
    """The worst that happened, where else, and whether there is any place where it was right."""
    order = ("died", "failed", "wrong")
    first = min(bad, key=lambda trial: order.index(trial.outcome))
    alike = [trial for trial in bad if trial.outcome == first.outcome]
    match first.outcome:
        case "died":
            why = f"{_places(alike)}: {first.words}"
        case "failed":
            why = f"{_places(alike)}: {first.words}"
        case _:
            worst = max(alike, key=lambda trial: (trial.error is None, trial.error or 0.0))
            found = "not finite" if worst.error is None else f"{worst.error:.2g}"
            what = f" of {worst.words}" if worst.words and _is_about_layers([worst]) else ""
            why = f"wrong numbers at {_places(alike)}: relative error{what} {found}"
            if worst.limit is not None:
                why += f", {worst.limit:.2g} explained"
            if worst.words and not what:
                why = f"{_places(alike)}: {worst.words}"
    return why + (f"; right at {_places(right)}" if right else "")


def _type(trial: Trial) -> str:
    """What a step is named by first: the type of the activations."""
    return trial.name.partition(", ")[0]


def _is_about_layers(trials: Sequence[Trial]) -> bool:
    return all("K = " in trial.name for trial in trials)


def _places(trials: Sequence[Trial]) -> str:
    """Where trials took place: types that share their shapes in one breath."""
    parts = [trial.name.partition(", ")[::2] for trial in trials]
    by_shape = [
        (shape, ", ".join(dtype for dtype, _shape in group))
        for shape, group in groupby(
            sorted(parts, key=lambda item: [p[1] for p in parts].index(item[1])),
            key=lambda item: item[1],
        )
    ]
    by_types = [
        (types, " and ".join(f"({shape})" if shape else "" for shape, _types in group))
        for types, group in groupby(by_shape, key=lambda item: item[1])
    ]
    return "; ".join(f"{types} {shapes}".strip() for types, shapes in by_types)


def _pace(speeds: Sequence[Speed]) -> tuple[str, str]:
    """`fast` where it is faster at some M and slower at none, beyond the noise; `slow` likewise."""
    if not speeds:
        return "works", "right; it was not timed"
    is_faster = any(speed.ratio_low > CLEAR for speed in speeds)
    is_slower = any(speed.ratio_high < 1 / CLEAR for speed in speeds)
    word = "works" if is_faster == is_slower else "fast" if is_faster else "slow"
    return word, _paces(speeds)


def _paces(speeds: Sequence[Speed]) -> str:
    return "; ".join(f"{_words(speed)} at M = {speed.m}" for speed in speeds) + " (unquantized: 1)"


def _words(speed: Speed) -> str:
    if speed.ratio_low <= 1 <= speed.ratio_high and speed.ratio_high / speed.ratio_low > CLEAR:
        return f"undecided ({speed.ratio_low:.2g} to {speed.ratio_high:.2g} times as fast)"
    if speed.ratio < 1 / CLEAR:
        return f"{_plain(1 / speed.ratio)} times slower"
    return f"{_plain(speed.ratio)} times as fast"


def _plain(ratio: float) -> str:
    """Two digits that mean something."""
    return f"{ratio:.0f}" if ratio >= MANY else f"{ratio:.1f}"


def _sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _detail(outcome: Outcome) -> str:
    """Each step in a line, and the last words of a process that died."""
    lines = [_trial_line(trial) for trial in outcome.trials]
    lines += [_speed_line(speed) for speed in outcome.speeds]
    if outcome.output:
        lines.append(f"its last words: {outcome.output.splitlines()[-1]:.300}")
    return "\n".join(lines)


def _trial_line(trial: Trial) -> str:
    parts = [f"{trial.name}: {trial.outcome}"]
    if trial.error is not None:
        parts.append(f"relative error {trial.error:.2g}")
    if trial.limit is not None:
        parts.append(f"{trial.limit:.2g} explained")
    if trial.words:
        parts.append(trial.words)
    return ", ".join(parts)


def _speed_line(speed: Speed) -> str:
    by = f" by {speed.kernel}" if speed.kernel else ""
    return (
        f"{speed.activation_dtype}, M = {speed.m}, N = {speed.n}, K = {speed.k}: "
        f"{speed.median_s * 1e3:.3g} ms{by}, unquantized {speed.unquantized_s * 1e3:.3g} ms in "
        f"{speed.unquantized_dtype}, ratio {speed.ratio:.2g} ({speed.ratio_low:.2g} to "
        f"{speed.ratio_high:.2g})"
    )
