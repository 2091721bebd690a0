"""The plan: which scheme and kernels each group of layers uses on each device, and why."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from qprobe.documents.base import Count, Document, Flag, FloatDtype, Positive, Quantity, TopDocument
from qprobe.documents.machine import Fingerprint
from qprobe.documents.objective import Objective
from qprobe.documents.scheme import Scheme, check_name
from qprobe.documents.sensitivity import Method


class Assignment(Document):
    """A checkpoint tensor belongs to a group, which has a scheme."""

    tensor: str
    group: str
    n: Positive
    k: Positive


class KernelRange(Document):
    """The kernel for M in [m_min, m_max]; `m_max` None is open."""

    kernel: str
    m_min: Positive
    m_max: Positive | None


def _check_ranges(kernels: tuple[KernelRange, ...]) -> tuple[KernelRange, ...]:
    expected = 1
    for index, item in enumerate(kernels):
        last = index == len(kernels) - 1
        if item.m_min != expected or (item.m_max is None) != last:
            raise ValueError("the ranges of M must follow one another from 1 to open")
        if item.m_max is not None:
            if item.m_max < item.m_min:
                raise ValueError(f"m_max {item.m_max} is below m_min {item.m_min}")
            expected = item.m_max + 1
    return kernels


Kernels = Annotated[tuple[KernelRange, ...], Field(min_length=1), AfterValidator(_check_ranges)]
"""The kernel of every M."""


class Rejected(Document):
    """A scheme that was not chosen, and every reason."""

    scheme: str
    reasons: Annotated[tuple[str, ...], Field(min_length=1)]


class GroupPredicted(Document):
    """What one group takes of the request's time, of the bytes and of the error."""

    seconds: Quantity
    stored_seconds: Quantity | None
    """The same group as it is stored; None where it does not run so here."""
    weight_bytes: Count
    error: Annotated[float, Field(ge=0, strict=True)] | None
    """‖y−ŷ‖/‖y‖ at the model's output of this group alone, its squares add; None: not known."""


class GroupPlan(Document):
    """The decision for one fusion group."""

    scheme: Scheme
    algorithm: str
    """How weights are quantized; "none" where they are not."""
    kernels: Kernels
    reasons: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    predicted: GroupPredicted | None = None


class ErrorEstimate(Document):
    """Expected ‖y−ŷ‖/‖y‖ at the model's output."""

    metric: Literal["logits", "last_hidden_state"]
    value: Annotated[float, Field(ge=0, strict=True)]
    method: Method
    noise_floor: Annotated[float, Field(ge=0, strict=True)] | None
    """The same error of casting the whole model to bf16."""


class Predicted(Document):
    """What the plan expects of a request."""

    seconds: Quantity
    prefill_seconds: Quantity
    decode_seconds_per_token: Quantity
    linear_seconds: Quantity
    rest_seconds: Quantity
    weight_bytes: Quantity
    memory_bytes: Quantity
    error: ErrorEstimate | None
    """None where nothing is known of the error."""

    @property
    def has_modelled_layers(self) -> bool:
        """Whether the time of a layer is modelled, so that its kernel may never have run on such a device."""
        return self.linear_seconds.provenance == "modelled"


class Choice(Document):
    """One decision for many groups, without the reasons."""

    scheme: Annotated[str, AfterValidator(check_name)]
    algorithm: str
    kernels: Kernels
    groups: Annotated[tuple[str, ...], Field(min_length=1)]


class Alternative(Document):
    """A plan that treats every group alike, scored by the same numbers."""

    name: str
    feasible: Flag
    why: str
    predicted: Predicted | None
    compute_dtype: FloatDtype | None = None
    """None where it cannot run at all."""
    choices: tuple[Choice, ...] = ()
    """What it would do with which groups, so that it can be measured."""


class Section(Document):
    """The plan for one device."""

    fingerprint: Fingerprint
    profile_hash: str
    yardstick_s: Annotated[float, Field(gt=0, strict=True)]
    """Predicted seconds are at the speed that the machine has when its yardstick takes these."""
    compute_dtype: FloatDtype
    groups: dict[str, GroupPlan]
    predicted: Predicted
    alternatives: tuple[Alternative, ...]
    summary: str
    """The decision in one or two sentences."""
    warnings: tuple[str, ...] = ()


class PlannedModel(Document):
    """What identifies the model that the plan is for."""

    name: str
    architecture: str
    model_hash: str
    linears: Count


class Plan(TopDocument):
    """A portable, validated, explained decision."""

    document: Literal["plan"] = "plan"
    model: PlannedModel
    objective: Objective
    sensitivity_hash: str | None
    assignments: tuple[Assignment, ...]
    primary: str
    """Slug of the device planned for."""
    targets: Annotated[dict[str, Section], Field(min_length=1)]

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Plan:
        tensors = [assignment.tensor for assignment in self.assignments]
        if len(set(tensors)) != len(tensors):
            twice = sorted({name for name in tensors if tensors.count(name) > 1})
            raise ValueError(f"assignments: tensor listed twice: {', '.join(twice)}")
        if self.primary not in self.targets:
            raise ValueError(
                f"primary: {self.primary!r} is not among targets {sorted(self.targets)}"
            )
        groups = {assignment.group for assignment in self.assignments}
        for slug, section in self.targets.items():
            if slug != section.fingerprint.slug:
                raise ValueError(
                    f"targets: {slug!r} holds a section of {section.fingerprint.slug!r}"
                )
            if missing := sorted(groups - set(section.groups)):
                raise ValueError(f"targets.{slug}.groups: no decision for {', '.join(missing)}")
            if unknown := sorted(set(section.groups) - groups):
                raise ValueError(
                    f"targets.{slug}.groups: not among assignments: {', '.join(unknown)}"
                )
            for index, alternative in enumerate(section.alternatives):
                chosen = [group for choice in alternative.choices for group in choice.groups]
                if chosen and sorted(chosen) != sorted(groups):
                    differing = sorted(
                        {g for g in {*chosen, *groups} if chosen.count(g) != (g in groups)}
                    )
                    raise ValueError(
                        f"targets.{slug}.alternatives.{index}.choices: not one decision for each group: "
                        f"{', '.join(differing)}"
                    )
        return self

    def section(self, fingerprint: Fingerprint) -> Section:
        """The section for a device: its own if there is one, else the primary one."""
        return self.targets.get(fingerprint.slug, self.targets[self.primary])
