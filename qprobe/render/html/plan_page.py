"""The page of a plan: the answer, the trade-off, where time and error go, and every reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qprobe.documents.objective import ERROR_RESERVE
from qprobe.documents.plan import Plan, Predicted, Section
from qprobe.documents.profile import Profile
from qprobe.render.charts.attained import points_of_plan
from qprobe.render.charts.costs import group_costs
from qprobe.render.charts.depth import depth_chart
from qprobe.render.charts.families import family_of
from qprobe.render.charts.tradeoff import PLAN, memory_chart, time_chart
from qprobe.render.html.answer import METHODS, RESERVE, error_parts, tiles, time_parts
from qprobe.render.html.fill import fill
from qprobe.render.html.kernels import roofline_values
from qprobe.render.html.known import PROVENANCE_MARKS, PROVENANCES, known
from qprobe.render.html.layers import group_rows, layer_rows
from qprobe.render.plan import limits_of, request_of, sections_of, units_of
from qprobe.render.units import format_bytes, format_error, format_seconds


def plan_html(plan: Plan, profiles: Mapping[str, Profile] | None = None) -> str:
    """The plan for each device; `profiles`, by the device's slug, bring the rooflines."""
    found = profiles or {}
    return fill(
        "plan.html",
        document=plan,
        request=request_of(plan.objective),
        limits=limits_of(plan.objective),
        reserve=(f"{100 * ERROR_RESERVE:.0f} %", f"{100 * RESERVE:.0f} %"),
        provenances=[(PROVENANCE_MARKS[name], name, words) for name, words in PROVENANCES],
        sections=[
            _section(plan, section, found.get(section.fingerprint.slug))
            for section in sections_of(plan)
        ],
    )


def _section(plan: Plan, section: Section, profile: Profile | None) -> dict[str, Any]:
    rows, more_rows = layer_rows(plan, section)
    groups, more_groups = group_rows(plan, section)
    device = section.fingerprint
    return {
        "slug": device.slug,
        "device": f"{device.name}, {device.units} {units_of(section)}",
        "summary": section.summary,
        "warnings": section.warnings,
        "tiles": tiles(section, plan.objective),
        "time_parts": time_parts(section),
        "error_parts": error_parts(section, plan.objective),
        "expected": _expected(section, plan),
        "time_chart": time_chart(section, plan.objective),
        "memory_chart": memory_chart(section, plan.objective),
        "alternatives": _alternatives(section),
        "schemes": [(family_of(name), name) for name in dict.fromkeys(row.scheme for row in rows)],
        "depth_chart": depth_chart(group_costs(plan, section)),
        "rows": rows,
        "more_rows": more_rows,
        "groups": groups,
        "more_groups": more_groups,
        "roofline": None
        if profile is None
        else roofline_values(profile, points_of_plan(plan, section, profile)),
        "sources": _sources(plan, section, profile),
    }


def _expected(section: Section, plan: Plan) -> list[tuple[str, Any]]:
    predicted = section.predicted
    found = [
        ("a request", known(predicted.seconds, format_seconds)),
        ("of it, linear layers", known(predicted.linear_seconds, format_seconds)),
        ("of it, everything else", known(predicted.rest_seconds, format_seconds)),
    ]
    if plan.objective.generate:
        found += [
            ("prefill", known(predicted.prefill_seconds, format_seconds)),
            ("decoding a token", known(predicted.decode_seconds_per_token, format_seconds)),
        ]
    return [
        *found,
        ("weights", known(predicted.weight_bytes, format_bytes)),
        ("memory at the peak", known(predicted.memory_bytes, format_bytes)),
    ]


def _alternatives(section: Section) -> list[dict[str, Any]]:
    every: list[tuple[str, bool, str, Predicted | None]] = [
        (PLAN, True, "chosen", section.predicted)
    ]
    every += [(a.name, a.feasible, a.why, a.predicted) for a in section.alternatives]
    return [
        {
            "name": name,
            "family": family_of(name),
            "is_plan": index == 0,
            "is_feasible": feasible,
            "why": why,
            "time": known(predicted.seconds, format_seconds) if predicted else None,
            "weights": known(predicted.weight_bytes, format_bytes) if predicted else None,
            "memory": known(predicted.memory_bytes, format_bytes) if predicted else None,
            "error": "unknown"
            if predicted is None or predicted.error is None
            else format_error(predicted.error.value),
        }
        for index, (name, feasible, why, predicted) in enumerate(every)
    ]


def _sources(plan: Plan, section: Section, profile: Profile | None) -> list[tuple[str, str]]:
    error = section.predicted.error
    found = [
        ("model", f"{plan.model.name}, headers {plan.model.model_hash}"),
        (
            "profile",
            f"{section.profile_hash}, at a yardstick of {format_seconds(section.yardstick_s)}",
        ),
        ("sensitivity", plan.sensitivity_hash or "none: errors are priors"),
    ]
    if error is not None:
        found.append(
            (
                "error",
                f"{METHODS.get(error.method, error.method)}, of the {error.metric.replace('_', ' ')}",
            )
        )
    if profile is not None:
        found.append(("kernels", f"sources {profile.kernel_sources}, threads: {profile.threads}"))
    software = (
        f"{name} {version}" for name, version in sorted(section.fingerprint.software.items())
    )
    found.append(("software", ", ".join(software) or "unknown"))
    return found
