"""What happened to a method, in sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from qprobe.documents.finding import Speed, Trial

CLEAR = 1.05
"""Ratios nearer to 1 than this make no difference to anybody."""
CLEAR_THOUGH_DISTURBED = 10.0
"""Kernels suffer differently from threads that do not run: less of a difference says nothing then."""
_MANY = 10.0
_WORST_FIRST = ("died", "failed", "wrong")


def blame(bad: Sequence[Trial], right: Sequence[Trial]) -> str:
    """The worst that happened, where else, and whether there is any place where it was right."""
    worst = min((trial.outcome for trial in bad), key=_WORST_FIRST.index)
    alike = [trial for trial in bad if trial.outcome == worst]
    if worst == "wrong" and is_about_layer(alike[0]):
        why = _wrong_numbers(alike)
    else:
        why = f"{places(alike)}: {alike[0].words}"
    return why + (f"; right at {places(right)}" if right else "")


def _wrong_numbers(trials: Sequence[Trial]) -> str:
    largest = max(trials, key=lambda trial: (trial.error is None, trial.error or 0.0))
    found = "not finite" if largest.error is None else f"{largest.error:.2g}"
    of = f" of {largest.words}" if largest.words else ""
    explained = "" if largest.limit is None else f", {largest.limit:.2g} explained"
    return f"wrong numbers at {places(trials)}: relative error{of} {found}{explained}"


def type_of(trial: Trial) -> str:
    """What a step is named by first: the type of the activations."""
    return trial.name.partition(", ")[0]


def is_about_layer(trial: Trial) -> bool:
    """Whether it is a forward pass of a layer, which is named by its shape."""
    return trial.name.partition(", ")[2].startswith("M = ")


def ran_out_of_time(trial: Trial) -> bool:
    """Whether it was to be timed and did not end, on a machine that may have been busy."""
    is_late = trial.words.startswith(("does not end within", "takes more than"))
    return trial.name.startswith("timing ") and is_late and "memory" not in trial.words


def places(trials: Sequence[Trial]) -> str:
    """Where steps took place: types that share a shape, and shapes that share types, in one breath."""
    named = [trial.name.partition(", ")[::2] for trial in trials]
    shapes = list(dict.fromkeys(shape for _type, shape in named))
    types_of = {
        shape: ", ".join(kind for kind, other in named if other == shape) for shape in shapes
    }
    parts = []
    for types, group in groupby(shapes, key=lambda shape: types_of[shape]):
        listed = " and ".join(f"({shape})" for shape in group if shape)
        parts.append(f"{types} {listed}".strip())
    return "; ".join(parts)


def refusals(refused: Sequence[Trial], right: Sequence[Trial]) -> list[str]:
    """What is refused where other steps are right: whole types, then what the shapes have in common."""
    types = list(dict.fromkeys(map(type_of, right)))
    strict = [trial for trial in refused if type_of(trial) not in types]
    parts = []
    if strict:
        parts.append(f"{', '.join(dict.fromkeys(map(type_of, strict)))}: {strict[0].words}")
    alike: dict[str, list[tuple[str, Trial]]] = {}
    for trial in refused:
        if trial not in strict:
            kin = [other for other in right if type_of(other) == type_of(trial)]
            cause = _cause(trial, kin)
            key = _without_numbers(trial.words)
            alike.setdefault(key, []).append((cause, trial))
    for found in alike.values():
        kinds = list(dict.fromkeys(type_of(trial) for _cause, trial in found))
        of = "" if set(kinds) == set(types) else f" in {', '.join(kinds)}"
        causes = ", ".join(dict.fromkeys(cause for cause, _trial in found))
        parts.append(f"{causes}{of}: {found[0][1].words}")
    return parts


def _without_numbers(words: str) -> str:
    return re.sub(r"\d+", "", words)


def _cause(refused: Trial, right: Sequence[Trial]) -> str:
    """The size by which a step differs from all that are right, or its whole shape."""
    sizes = _sizes(refused)
    taken = [_sizes(trial) for trial in right]
    # Where both differ, K is told: every row of a model has the same.
    for size in reversed(sizes):
        if all(size not in other for other in taken):
            return size
    return ", ".join(sizes)


def _sizes(trial: Trial) -> list[str]:
    """What follows the type: "M = 1", "N = 256", "K = 256"."""
    return trial.name.split(", ")[1:]


def is_clear(speed: Speed) -> bool:
    """Whether the difference is larger than the noise, and than what a disturbance makes of it."""
    return gain_is_clear(speed) or loss_is_clear(speed)


def gain_is_clear(speed: Speed) -> bool:
    """Whether it is faster, beyond doubt."""
    return speed.ratio_low > _bar(speed)


def loss_is_clear(speed: Speed) -> bool:
    """Whether it is slower, beyond doubt."""
    return speed.ratio_high < 1 / _bar(speed)


def _bar(speed: Speed) -> float:
    return CLEAR_THOUGH_DISTURBED if speed.is_disturbed else CLEAR


def paces(speeds: Sequence[Speed]) -> str:
    """How fast at each M."""
    return "; ".join(f"{_pace(speed)} at M = {speed.m}" for speed in speeds) + " (unquantized: 1)"


def _pace(speed: Speed) -> str:
    if speed.ratio_low <= 1 <= speed.ratio_high and speed.ratio_high / speed.ratio_low > CLEAR:
        return f"undecided ({speed.ratio_low:.2g} to {speed.ratio_high:.2g} times as fast)"
    if speed.is_disturbed and not is_clear(speed):
        return (
            f"undecided ({speed.ratio:.2g} times as fast while others took {speed.disturbance:.0%} of "
            "the processors)"
        )
    if speed.ratio < 1 / CLEAR:
        return f"{_plain(1 / speed.ratio)} times slower"
    return f"{_plain(speed.ratio)} times as fast"


def _plain(ratio: float) -> str:
    """Two digits that mean something."""
    return f"{ratio:.0f}" if ratio >= _MANY else f"{ratio:.1f}"


def sentence(*parts: str) -> str:
    """The parts that say something, in one sentence."""
    return "; ".join(part for part in parts if part)


def evidence(trials: Sequence[Trial], speeds: Sequence[Speed], output: str) -> str:
    """Each step in a line, and the last words of a process that died."""
    lines = [_trial_line(trial) for trial in trials]
    lines += [_speed_line(speed) for speed in speeds]
    if output:
        lines.append(f"its last words: {output.splitlines()[-1]:.300}")
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
