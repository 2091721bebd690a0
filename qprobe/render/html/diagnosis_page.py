"""The page of a diagnosis: what works, what is wrong and what to do, the roofline, the machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qprobe.documents.finding import Diagnosis, Finding, Status, Verdict
from qprobe.documents.profile import Profile
from qprobe.render.charts.attained import points_of_profile
from qprobe.render.charts.families import Family
from qprobe.render.charts.speedups import drawn_methods, shapes_of_m, speedup_chart
from qprobe.render.diagnosis import MARKS, PROBLEMS, SEVERITY, by_severity, count_line
from qprobe.render.html.fill import fill
from qprobe.render.html.kernels import roofline_values
from qprobe.render.machine import FROM_TABLES, machine_sections
from qprobe.render.verdicts import (
    UNSAID,
    VERDICT_MARKS,
    device_name,
    devices_in,
    gain_at,
    rows_timed,
)

STATUS_WORDS: dict[Status, str] = {"crash": "crashed", "fail": "failed", "warn": "warning",
                                   "ok": "passed", "skip": "skipped"}  # fmt: skip
_OF_SPEED = re.compile(r"\bat M = \d+(?: \(unquantized: 1\))?$")
VERDICT_WORDS: dict[str, str] = {
    "fast": "faster than unquantized",
    "works": "runs and gives right numbers",
    "slow": "slower than unquantized",
    "broken": "crashes, hangs or gives wrong numbers",
    "unsupported": "this device or version cannot",
    "not_installed": "the library is not here",
}


def diagnosis_html(diagnosis: Diagnosis, profiles: Mapping[str, Profile] | None = None) -> str:
    """The whole diagnosis; `profiles`, by the device's slug, bring the rooflines."""
    found = profiles or {}
    slugs = {
        print_.slug: device for device, print_ in sorted(diagnosis.machine.fingerprints.items())
    }
    return fill(
        "diagnosis.html",
        document=diagnosis,
        counts=count_line(diagnosis.findings),
        tally=_tally(diagnosis.findings),
        marks=MARKS,
        status_words=STATUS_WORDS,
        problems=[item for item in by_severity(diagnosis.findings) if _is_problem(item)],
        others=[item for item in by_severity(diagnosis.findings) if not _is_problem(item)],
        broken=[item for item in diagnosis.verdicts if item.verdict == "broken"],
        verdict_words=VERDICT_WORDS,
        verdict_marks=VERDICT_MARKS,
        verdict_tally=_verdict_tally(diagnosis.verdicts),
        matrix=_matrix(diagnosis.verdicts),
        speedups=_speedups(diagnosis),
        device=_device(diagnosis),
        rooflines=[
            (f"{slugs[slug]}, {slug}", values)
            for slug, profile in sorted(found.items())
            if slug in slugs
            and (values := roofline_values(profile, points_of_profile(profile))) is not None
        ],
        machine=machine_sections(diagnosis.machine),
        from_tables=FROM_TABLES,
    )


def _is_problem(finding: Finding) -> bool:
    return finding.status in PROBLEMS


def _tally(findings: Iterable[Finding]) -> list[tuple[Status, str]]:
    counts = Counter(finding.status for finding in findings)
    plural = {"warn": "warnings"}
    return [
        (
            status,
            f"{n} {STATUS_WORDS[status] if n == 1 else plural.get(status, STATUS_WORDS[status])}",
        )
        for status in SEVERITY
        if (n := counts[status])
    ]


def _verdict_tally(verdicts: Iterable[Verdict]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter(item.verdict for item in verdicts)
    return [(name, counts[name]) for name in VERDICT_WORDS if name in counts]


def _matrix(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Methods by devices, both in the order of the document, with the gain at each M."""
    cells: dict[str, dict[str, list[Verdict]]] = {}
    for item in verdicts:
        cells.setdefault(item.method, {}).setdefault(item.device, []).append(item)
    devices = devices_in(verdicts)
    timed = rows_timed(verdicts)
    return {
        "devices": devices,
        "timed": timed,
        "rows": [
            (
                method,
                [
                    [
                        (item, [(m, gain_at(item, m)) for m in timed], _beyond_figures(item))
                        for item in by_device[device]
                    ]
                    if device in by_device
                    else []
                    for device in devices
                ],
            )
            for method, by_device in cells.items()
        ],
    }


def _beyond_figures(verdict: Verdict) -> str:
    """The reason without the speeds, where these stand beside it in figures."""
    if not verdict.speeds or verdict.verdict in UNSAID:
        return verdict.why
    parts = verdict.why.split("; ")
    return "; ".join(part for part in parts if not _OF_SPEED.search(part)) or "evidence"


def _speedups(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """A chart for each device on which methods were timed."""
    found = []
    for device in devices_in(diagnosis.verdicts):
        mine = [item for item in diagnosis.verdicts if item.device == device]
        chart = speedup_chart(mine)
        if chart is not None:
            drawn = drawn_methods(mine)
            speeds = [speed for item in drawn for speed in item.speeds]
            sizes = sorted({f"{speed.n}×{speed.k}" for speed in speeds})
            found.append(
                {
                    "name": f"{device}, {device_name(diagnosis.machine, device)}",
                    "chart": chart,
                    "shapes": [
                        (m, Family("stored", shape, f"M = {m}"))
                        for m, shape in shapes_of_m(drawn).items()
                    ],
                    "sizes": ", ".join(sizes),
                }
            )
    return found


def _device(diagnosis: Diagnosis) -> str:
    machine = diagnosis.machine
    names = [gpu.name for gpu in machine.gpus]
    if not names and not machine.gpus_are_left_out:
        names = ["no GPU"]
    cpu = (
        f"{machine.cpu.model or machine.cpu.architecture}, {machine.cpu.usable_cores} usable cores"
    )
    return "; ".join(filter(None, (", ".join(names), cpu)))
