"""Plans made by hand, for tests of what follows a plan."""

from __future__ import annotations

from collections.abc import Mapping

from qprobe.documents.base import Quantity
from qprobe.documents.machine import Fingerprint
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import (
    Alternative,
    Assignment,
    Choice,
    ErrorEstimate,
    GroupPlan,
    KernelRange,
    Plan,
    PlannedModel,
    Predicted,
    Section,
)
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.device import fingerprint

OPEN = {
    name: (KernelRange(kernel=name, m_min=1, m_max=None),)
    for name in (
        "reference",
        "cpu.onednn_linear",
        "cpu.onednn_qlinear",
        "cpu.onednn_qlinear_u8",
        "cuda.future",
    )
}


def decide(scheme="W8A8", kernel="reference", algorithm=None) -> GroupPlan:
    """One decision; 8-bit codes are rounded to nearest unless the algorithm is given."""
    quantized = SCHEMES[scheme].is_quantized
    return GroupPlan(
        scheme=SCHEMES[scheme],
        algorithm=algorithm or ("rtn" if quantized else "none"),
        kernels=OPEN[kernel],
        reasons=("because the test says so",),
        rejected=(),
    )


def predicted(seconds=0.01, error=0.01) -> Predicted:
    """A prediction in which everything takes its part of `seconds`."""

    def quantity(value):
        return Quantity(value=value, provenance="measured", uncertainty=0.1)

    return Predicted(
        seconds=quantity(seconds),
        prefill_seconds=quantity(seconds),
        decode_seconds_per_token=quantity(0),
        linear_seconds=quantity(seconds / 2),
        rest_seconds=quantity(seconds / 2),
        weight_bytes=quantity(1000),
        memory_bytes=quantity(2000),
        error=ErrorEstimate(
            metric="last_hidden_state", value=error, method="calibrated", noise_floor=0.005
        ),
    )


def section(groups: Mapping[str, GroupPlan], here: Fingerprint | None = None, **changes) -> Section:
    """A section for this machine, with NONE and W8A8 as alternatives."""
    fields = {
        "fingerprint": here or fingerprint("cpu"),
        "profile_hash": "0" * 16,
        "yardstick_s": 3e-3,
        "compute_dtype": "float32",
        "groups": dict(groups),
        "predicted": predicted(),
        "alternatives": (
            uniform("NONE", "none", groups),
            uniform("W8A8", "rtn", groups),
            Alternative(name="W8A16", feasible=False, why="not tried", predicted=None),
        ),
        "summary": "a plan for tests",
    }
    return Section(**fields | changes)


def uniform(name: str, algorithm: str, groups: Mapping[str, GroupPlan]) -> Alternative:
    """Every group alike, through the reference kernel."""
    choice = Choice(
        scheme=name, algorithm=algorithm, kernels=OPEN["reference"], groups=tuple(groups)
    )
    return Alternative(
        name=name,
        feasible=True,
        why="slower",
        predicted=predicted(),
        compute_dtype="float32",
        choices=(choice,),
    )


def plan_for(
    model: Model,
    default: GroupPlan,
    others: Mapping[str, GroupPlan] | None = None,
    objective: Objective | None = None,
    **changes,
) -> Plan:
    """Every group of the model as `default` says, but those in `others`."""
    groups = {name: default for name in model.groups()} | dict(others or {})
    made = section(groups, **changes)
    return Plan(
        model=PlannedModel(
            name=model.name,
            architecture=model.architecture,
            model_hash=model.model_hash,
            linears=len(model.linears),
        ),
        objective=objective or Objective(batch=2, prompt=8),
        sensitivity_hash=None,
        assignments=tuple(
            Assignment(tensor=item.tensor, group=item.fusion_group, n=item.n, k=item.k)
            for item in model.linears
        ),
        primary=made.fingerprint.slug,
        targets={made.fingerprint.slug: made},
    )
