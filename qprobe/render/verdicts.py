"""What each method does on each device: a table of figures, and below it what figures do not say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from qprobe.documents.finding import Diagnosis, Fix, Speed, Verdict
from qprobe.documents.machine import Machine
from qprobe.render.page import indent, one_line, table, words

VERDICT_MARKS = {"fast": "✓", "works": "·", "slow": "!", "broken": "✗", "unsupported": "–",
                 "not_installed": "–"}  # fmt: skip
UNSAID = ("broken", "unsupported", "not_installed")
"""Verdicts that no figure explains."""


def devices_in(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """The devices, in the order of their verdicts."""
    return tuple(dict.fromkeys(item.device for item in verdicts))


def device_name(machine: Machine, device: str) -> str:
    """What people call it."""
    if device == "cpu":
        return machine.cpu.model or machine.cpu.architecture
    gpu = machine.devices.get(device)
    return gpu.name if gpu is not None else device


def rows_timed(verdicts: Sequence[Verdict]) -> tuple[int, ...]:
    """Every M that was timed."""
    return tuple(sorted({speed.m for item in verdicts for speed in item.speeds}))


def gain_at(verdict: Verdict, m: int) -> str:
    """How many times as fast as unquantized; with ~ where the noise is larger than the difference."""
    for speed in verdict.speeds:
        if speed.m == m:
            return f"{_sign(speed)}{_figure(speed.ratio)}×"
    return ""


def _sign(speed: Speed) -> str:
    is_doubtful = speed.ratio_low <= 1 <= speed.ratio_high or speed.is_disturbed
    return "~" if is_doubtful else ""


def _figure(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _is_said(verdict: Verdict, full: bool, trials: bool) -> bool:
    """Whether its reason is told besides the figures."""
    is_plain = bool(verdict.speeds) and verdict.verdict not in UNSAID
    return trials or not is_plain or (full and verdict.verdict == "slow")


def verdict_blocks(
    diagnosis: Diagnosis, width: int, full: bool, trials: bool
) -> Iterator[RenderableType]:
    """For each device a table, then the reasons and what to do; with `trials`, the evidence too."""
    for device in devices_in(diagnosis.verdicts):
        mine = [item for item in diagnosis.verdicts if item.device == device]
        timed = rows_timed(mine)
        name = one_line(device_name(diagnosis.machine, device))
        note = ": speed over unquantized, 1 is as fast" if timed else ""
        yield words("")
        yield words(f"{device}, {name}{note}", "bold")
        absent = [item for item in mine if item.verdict == "not_installed"]
        shown = [item for item in mine if item.verdict != "not_installed"]
        if shown:
            yield _figures(shown, timed)
            yield from _lacks(shown)
        told: dict[Fix, str] = {}
        for item in shown:
            if _is_said(item, full, trials):
                yield from _reason(item, width, trials, told)
        if absent:
            yield words(f"– not installed: {'; '.join(map(_absence, absent))}")
    if diagnosis.disturbed_by:
        yield words(f"! While methods were timed, {diagnosis.disturbed_by}.", "yellow")


def _figures(verdicts: Sequence[Verdict], timed: Sequence[int]) -> RenderableType:
    headers = ("method", "verdict", *(f"M = {m}" for m in timed))
    right = tuple(range(2, 2 + len(timed)))
    return table(
        headers,
        (
            (
                one_line(item.method),
                f"{VERDICT_MARKS[item.verdict]} {item.verdict.replace('_', ' ')}",
                *(gain_at(item, m) for m in timed),
            )
            for item in verdicts
        ),
        right=right,
        firm=(1,),
    )


def _lacks(verdicts: Sequence[Verdict]) -> Iterator[RenderableType]:
    """What those that were timed ran without, and why."""
    found: dict[str, list[str]] = {}
    for item in verdicts:
        for trial in item.trials if item.speeds else ():
            # What is a step of one type of activations is no part of the method.
            if trial.outcome == "refused" and ", " not in trial.name:
                found.setdefault(trial.words, []).append(one_line(item.method))
    for lack, methods in found.items():
        yield words(f"! {', '.join(methods)}: {lack}", "yellow")


def _reason(
    verdict: Verdict, width: int, trials: bool, told: dict[Fix, str]
) -> Iterator[RenderableType]:
    """Why, and what to do; what to do is `told` once."""
    from qprobe.render.diagnosis import fix_blocks

    mark = VERDICT_MARKS[verdict.verdict]
    yield words(f"{mark} {one_line(verdict.method)}: {verdict.why}")
    if trials and verdict.detail:
        yield indent(words(verdict.detail, "dim"), 4)
    if verdict.fix in told:
        yield indent(words(f"fix: as for {one_line(told[verdict.fix])}"), 4)
    elif verdict.fix:
        told[verdict.fix] = verdict.method
        yield from (indent(block, 4) for block in fix_blocks(verdict.fix, width - 6))


def _absence(verdict: Verdict) -> str:
    commands = verdict.fix.commands if verdict.fix else ()
    return f"{one_line(verdict.method)} ({commands[0] if commands else verdict.why})"
