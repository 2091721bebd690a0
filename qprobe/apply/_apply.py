"""Plan + model → the model with the planned layers, in place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import nn

from qprobe.apply._fit import Fit, fit_kernels
from qprobe.apply._model import compare_model
from qprobe.checkpoint.casting import cast_module
from qprobe.documents.machine import Fingerprint
from qprobe.documents.plan import Assignment, GroupPlan, Plan, Section
from qprobe.documents.receipt import LayerReceipt, Receipt
from qprobe.errors import InputError, PlanMismatchError
from qprobe.kernels.device import fingerprint, parse_device
from qprobe.layers import make_layer
from qprobe.layers._coded import CodedLinear
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._sharing import SharedInput
from qprobe.layers._unfold import Site, Slot, all_finite, find_sites, set_module, unfold
from qprobe.timing.allocator import give_back_freed_memory

logger = logging.getLogger("qprobe")
ATTRIBUTE = "qprobe_receipt"
LEAST_SIGNAL = 1e-60
"""Stands for the power of a weight of zeros."""
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class _Step:
    """The layers of one tensor's name to replace."""

    assignment: Assignment
    site: Site
    group: GroupPlan
    fit: Fit


def apply_plan(
    plan: Plan,
    module: Module,
    device: str | None = None,
    on_mismatch: Literal["adapt", "error"] = "adapt",
) -> Module:
    """Replace the module's linears as the plan says, in place; all checks precede the first change.

    Args:
        plan: as `load_plan` gives it.
        module: the model as its checkpoint stores it.
        device: "cpu" or "cuda:N", where the module is moved to; None: where it is.
        on_mismatch: on hardware or software that differs from the plan's, "adapt" takes the
            plan's section for this device or other kernels, logs one warning and records what
            changed in the receipt; kernels that were not measured here are tried on random numbers
            before they are taken. "error" refuses with the fields that differ, or the kernels that
            cannot compute here. The same of a model that is not as planned, unless its class is
            another, as of an encoder under a head: that is recorded either way.

    Returns:
        The same module, with `receipt_of(module)` telling what was done.

    Raises:
        PlanMismatchError: a tensor of the plan is not in the module or has another shape, the
            module has a plan already, or device, kernels or model differ under
            `on_mismatch="error"`.
        InputError: weights that cannot be quantized, an unknown device or `on_mismatch`.
        CrashError: a kernel that was tried took the GPU from this process; the next goes without it.
    """
    if on_mismatch not in ("adapt", "error"):
        raise InputError(f"on_mismatch is {on_mismatch!r}", 'give "adapt" or "error"')
    if hasattr(module, ATTRIBUTE):
        raise PlanMismatchError("the module has a plan applied already", "load the model anew")
    _refuse_meta(module)
    target = _device_of(module) if device is None else parse_device(device)
    here = fingerprint(target)
    section = plan.section(here)
    differences = section.fingerprint.differences(here)
    if differences and on_mismatch == "error":
        raise PlanMismatchError(
            f"the plan is for {section.fingerprint.slug}; here differs {'; '.join(differences)}",
            _replan(plan),
        )
    found = _find(plan, section, module)
    change = compare_model(plan.model, module)
    if change and on_mismatch == "error" and not change.is_other_class:
        raise PlanMismatchError(change.words, "make a plan for this very model")
    dtype: torch.dtype = getattr(torch, section.compute_dtype)
    is_measured = not differences and not section.predicted.has_modelled_layers
    steps = [_fit(*each, dtype, target, is_measured) for each in found]
    other = next((step for step in steps if step.fit.change), None)
    if other and on_mismatch == "error":
        raise PlanMismatchError(
            f"{other.assignment.tensor} would be computed otherwise: {other.fit.change}",
            _replan(plan),
        )
    before = held_bytes(module)
    module.to(target)
    changes = _describe_changes(differences, steps)
    changes = (*changes, change.words) if change else changes
    layers = _replace_all(module, steps, dtype)
    # While one tensor is a view of a checkpoint's mapping, all pages that were read to quantize or
    # to pack stay in memory.
    is_view = here.kind == "cpu" and any(isinstance(m, PlannedLinear) for m in module.modules())
    cast_module(module, dtype, skip=(PlannedLinear,), copy=is_view)
    if changes:
        logger.warning(
            "the plan for %s was adapted to %s: %s%s",
            section.fingerprint.slug,
            here.slug,
            changes[0],
            f" (and {len(changes) - 1} more: receipt_of(module).changes)" * (len(changes) > 1),
        )
    receipt = _receipt(plan, section, here, changes, layers, before, held_bytes(module))
    object.__setattr__(module, ATTRIBUTE, receipt)
    give_back_freed_memory()
    return module


def receipt_of(module: nn.Module) -> Receipt:
    """What `apply_plan` did to this module. Raises InputError where it did nothing."""
    receipt = getattr(module, ATTRIBUTE, None)
    if not isinstance(receipt, Receipt):
        raise InputError(f"{type(module).__name__} has no plan applied", "call apply_plan first")
    return receipt


def held_bytes(module: nn.Module) -> int:
    """Bytes of the parameters, buffers and packed weights that a module holds, each counted once."""
    planned = [child for child in module.modules() if isinstance(child, PlannedLinear)]
    inside = {id(parameter) for layer in planned for parameter in layer.parameters()}
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    plain = sum(t.numel() * t.element_size() for i, t in tensors.items() if i not in inside)
    return plain + sum(layer.stored_bytes() for layer in planned)


def _refuse_meta(module: nn.Module) -> None:
    tensors = (*module.named_parameters(), *module.named_buffers())
    empty = [name for name, tensor in tensors if tensor.is_meta]
    if empty:
        what = "the module" if len(empty) == len(tensors) else empty[0]
        raise InputError(
            f"{what} is on meta: it has no weights to quantize", "load its weights first"
        )


def _device_of(module: nn.Module) -> str:
    devices = list(dict.fromkeys(p.device for p in module.parameters())) or [torch.device("cpu")]
    if len(devices) > 1:
        raise InputError(
            f"the module is spread over {', '.join(map(str, devices))}",
            "a plan is for one device: give the one to move it to, as in device='cuda:0'",
        )
    (device,) = devices
    return "cpu" if device.type == "cpu" else f"{device.type}:{device.index or 0}"


def _replan(plan: Plan) -> str:
    return f"re-plan here: qprobe plan --model {plan.model.name}"


def _find(
    plan: Plan, section: Section, module: nn.Module
) -> list[tuple[Assignment, Site, GroupPlan]]:
    """What is planned for which layers: each is there, of its shape, finite and unplanned."""
    sites = {site.tensor: site for site in find_sites(module, (a.tensor for a in plan.assignments))}
    found = []
    for item in plan.assignments:
        site = sites[item.tensor]
        if isinstance(site.holder, PlannedLinear):
            raise PlanMismatchError(
                f"{site.place.path} is a {type(site.holder).__name__}, not an unplanned nn.Linear",
                "apply the plan to the model as its checkpoint stores it",
            )
        if site.shape != (item.n, item.k):
            n, k = site.shape
            raise PlanMismatchError(
                f"{item.tensor} is {n} × {k} here, {item.n} × {item.k} in the plan",
                "make a plan for this very model",
            )
        group = section.groups[item.group]
        if group.scheme.is_quantized and not all_finite(site):
            raise InputError(
                f"{item.tensor} holds NaN or infinity and cannot be quantized",
                "repair the checkpoint, or pin the layer to NONE",
            )
        found.append((item, site, group))
    return found


def _fit(
    item: Assignment,
    site: Site,
    group: GroupPlan,
    dtype: torch.dtype,
    device: str,
    is_measured: bool,
) -> _Step:
    fit = fit_kernels(group, item.n, item.k, dtype, device, is_measured=is_measured)
    return _Step(item, site, group, fit)


def _replace_all(
    module: nn.Module, steps: list[_Step], dtype: torch.dtype
) -> tuple[LayerReceipt, ...]:
    """Take the steps one by one; nothing holds on to a weight once it is replaced."""
    slots = dict(unfold(module, [step.site for step in steps]).slots)
    shared = {step.assignment.group: SharedInput() for step in steps}
    receipts = []
    while steps:
        step = steps.pop(0)
        of_step = slots.pop(step.assignment.tensor)
        receipts.append(_replace(module, step, of_step, dtype, shared[step.assignment.group]))
    return tuple(receipts)


def _replace(
    module: nn.Module,
    step: _Step,
    slots: tuple[Slot, ...],
    dtype: torch.dtype,
    shared: SharedInput,
) -> LayerReceipt:
    """Put planned layers in the place of the linears of one tensor's name."""
    group = step.group
    before = after = 0
    signal = noise = 0.0
    for slot in slots:
        linear = slot.linear
        layer = make_layer(linear, group.scheme, group.algorithm, step.fit.kernels, dtype)
        if isinstance(layer, PlannedLinear) and group.scheme.weights is not None:
            exact = linear.weight.detach().float()
            signal += float(exact.norm()) ** 2
            noise += float((exact - layer.dequantize(torch.float32)).norm()) ** 2
        if isinstance(layer, CodedLinear):
            layer.shared_input = shared
        for path in slot.paths:
            set_module(module, path, layer)
        before += held_bytes(linear)
        after += held_bytes(layer)
    return LayerReceipt(
        tensor=step.assignment.tensor,
        scheme=group.scheme.name,
        algorithm=group.algorithm,
        kernels=tuple(item.kernel for item in step.fit.kernels),
        weight_bytes_before=before,
        weight_bytes_after=after,
        weight_error=(noise / max(signal, LEAST_SIGNAL)) ** 0.5,
    )


def _describe_changes(differences: tuple[str, ...], steps: list[_Step]) -> tuple[str, ...]:
    """What differs on this device, and which layers compute otherwise for it."""
    replaced: dict[str, list[str]] = {}
    for step in steps:
        if step.fit.change:
            replaced.setdefault(step.fit.change, []).append(step.assignment.tensor)
    kernels = (
        f"{change} ({len(tensors)} layers, first {tensors[0]})"
        for change, tensors in replaced.items()
    )
    return (*differences, *kernels)


def _receipt(
    plan: Plan,
    section: Section,
    here: Fingerprint,
    changes: tuple[str, ...],
    layers: tuple[LayerReceipt, ...],
    before: int,
    after: int,
) -> Receipt:
    return Receipt(
        action="applied",
        model=plan.model.name,
        plan_hash=plan.content_hash(),
        fingerprint=here,
        compute_dtype=section.compute_dtype,
        changes=changes,
        layers=layers,
        weight_bytes_before=before,
        weight_bytes_after=after,
    )
