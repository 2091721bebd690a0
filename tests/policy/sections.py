"""A small model, what is known of it, and sections of plans for it."""

from __future__ import annotations

from qprobe.policy import make_plan
from tests.documents_factory import by_ops, measured_profile, model, objective, sensitivity

MODEL = model()
GROUPS = list(MODEL.groups())
FAST_INT8 = measured_profile(MODEL, by_ops())
SLOW_INT8 = measured_profile(MODEL, by_ops({"W8A8": 0.5}))
CALIBRATED = sensitivity(MODEL)


def section(of=MODEL, on=FAST_INT8, known=CALIBRATED, **asked):
    plan = make_plan(of, on, objective(**asked), known)
    return plan.targets[plan.primary]


def schemes(found):
    return {group: decided.scheme.name for group, decided in found.groups.items()}


def only(name):
    return dict.fromkeys(GROUPS, name)
