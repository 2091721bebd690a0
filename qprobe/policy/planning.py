"""The plan for a model on one device or several."""

from __future__ import annotations

from collections.abc import Sequence

from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import Assignment, Plan, PlannedModel
from qprobe.documents.profile import Profile
from qprobe.documents.sensitivity import Sensitivity
from qprobe.policy.inputs import check_inputs
from qprobe.policy.sections import make_section


def make_plan(
    model: Model,
    profiles: Sequence[Profile] | Profile,
    objective: Objective,
    sensitivity: Sensitivity | None = None,
) -> Plan:
    """Choose a scheme for every fusion group and kernels for every M, one section a profile.

    The first profile is of the primary device. Without a sensitivity, errors are priors and
    activations stay as they are. Reads documents only: no device, no weights.

    Raises InputError where the documents do not fit one another, and InfeasibleError where no plan
    satisfies the limits.
    """
    several = (profiles,) if isinstance(profiles, Profile) else tuple(profiles)
    check_inputs(model, several, objective, sensitivity)
    return Plan(
        model=PlannedModel(
            name=model.name,
            architecture=model.architecture,
            model_hash=model.model_hash,
            linears=len(model.linears),
        ),
        objective=objective,
        sensitivity_hash=sensitivity.content_hash() if sensitivity else None,
        assignments=tuple(
            Assignment(tensor=linear.tensor, group=linear.fusion_group, n=linear.n, k=linear.k)
            for linear in model.linears
        ),
        primary=several[0].fingerprint.slug,
        targets={
            profile.fingerprint.slug: make_section(model, profile, objective, sensitivity)
            for profile in several
        },
    )
