"""One self-contained page for the diagnosis or the plan: no scripts, nothing from elsewhere."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from qprobe.documents.finding import Diagnosis
from qprobe.documents.plan import Plan, Section
from qprobe.errors import UnavailableError
from qprobe.render.diagnosis import MARKS, count_line
from qprobe.render.folding import fold_groups
from qprobe.render.machine import machine_text
from qprobe.render.page import printable
from qprobe.render.plan import (
    ALTERNATIVE_HEADERS,
    alternatives_of,
    expectation_of,
    heading_of,
    limits_of,
    request_of,
    sections_of,
    units_of,
)

if TYPE_CHECKING:
    from jinja2 import Environment


def require_html() -> None:
    """Raise UnavailableError, with the line that installs it, where jinja2 is missing."""
    if importlib.util.find_spec("jinja2") is None:
        raise UnavailableError(
            "an HTML page was asked for, and jinja2 is not installed",
            "pip install 'qprobe[report]'",
        )


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """The findings with their detail and fix, the verdicts and the machine."""
    return _fill(
        "diagnosis.html",
        document=diagnosis,
        counts=count_line(diagnosis.findings),
        marks=MARKS,
        verdicts=[
            (item.method, item.device, item.verdict.replace("_", " "), item.why, item.evidence)
            for item in diagnosis.verdicts
        ],
        machine=machine_text(diagnosis.machine, width=100),
    )


def plan_html(plan: Plan) -> str:
    """The plan for each device with every reason, and the alternatives."""
    return _fill(
        "plan.html",
        document=plan,
        request=request_of(plan.objective),
        limits=limits_of(plan.objective),
        alternative_headers=ALTERNATIVE_HEADERS,
        sections=[_section(plan, section) for section in sections_of(plan)],
    )


def _section(plan: Plan, section: Section) -> dict[str, Any]:
    device, rows = section.fingerprint, fold_groups(plan, section)
    return {
        "device": f"{device.slug}: {device.name}, {device.units} {units_of(section)}",
        "summary": section.summary,
        "warnings": section.warnings,
        "facts": tuple(expectation_of(section.predicted, plan.objective)),
        "layers": [
            (
                row.label,
                f"×{len(row.groups)}",
                row.shapes,
                row.scheme,
                row.kernels,
                row.weight_bytes,
            )
            for row in rows
        ],
        "rows": [
            {
                "heading": heading_of(row),
                "reasons": row.decision.reasons,
                "rejected": row.decision.rejected,
            }
            for row in rows
        ],
        "alternatives": tuple(alternatives_of(section)),
    }


def _fill(template: str, **values: Any) -> str:
    require_html()
    return _environment().get_template(template).render(**values)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("qprobe.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # A macro gives Markup, which is escaped already.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
