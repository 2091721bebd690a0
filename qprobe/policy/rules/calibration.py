"""Activations are never quantized on the strength of weights alone."""

from __future__ import annotations

from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Context, Rule


def _objections(candidate: Candidate, context: Context) -> tuple[str, ...]:
    if candidate.scheme.input_activations is None:
        return ()
    if context.errors.method in ("calibrated", "end_to_end"):
        return ()
    return ("quantizes activations, which needs calibration on data",)


RULE = Rule("calibration", _objections)
