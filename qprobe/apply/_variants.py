"""The models that an applied plan is compared with: as stored, cast, and every uniform scheme."""

from __future__ import annotations

import copy

import torch
from torch import nn

from qprobe.apply._fit import fit_kernels
from qprobe.checkpoint.casting import cast_module
from qprobe.documents.plan import Alternative, Assignment, Choice, GroupPlan, Plan
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.device import fingerprint
from qprobe.layers import make_layer
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._unfold import find_sites, set_module, unfold


def make_variant(plan: Plan, alternative: Alternative, module: nn.Module, device: str) -> nn.Module:
    """A model of its own that does what the alternative would; `module` is as stored.

    `device` is "cpu" or "cuda:N", where the module is. What cannot compute there is replaced as
    `apply_plan` would.
    """
    variant = copy.deepcopy(module)
    dtype: torch.dtype = getattr(torch, alternative.compute_dtype or "float32")
    sites = find_sites(variant, (item.tensor for item in plan.assignments))
    slots = unfold(variant, sites).slots
    here = fingerprint(device)
    differs = bool(plan.section(here).fingerprint.differences(here))
    expected = alternative.predicted
    is_measured = not differs and expected is not None and not expected.has_modelled_layers
    choices = {group: choice for choice in alternative.choices for group in choice.groups}
    for item in plan.assignments:
        for slot in slots[item.tensor]:
            layer = _make(slot.linear, choices[item.group], item, dtype, device, is_measured)
            for path in slot.paths:
                set_module(variant, path, layer)
    return cast_module(variant, dtype, skip=(PlannedLinear,))


def _make(
    linear: nn.Linear,
    choice: Choice,
    item: Assignment,
    dtype: torch.dtype,
    device: str,
    is_measured: bool,
) -> nn.Linear:
    group = GroupPlan(
        scheme=SCHEMES[choice.scheme],
        algorithm=choice.algorithm,
        kernels=choice.kernels,
        reasons=(),
        rejected=(),
    )
    fit = fit_kernels(group, item.n, item.k, dtype, device, is_measured=is_measured)
    return make_layer(linear, group.scheme, group.algorithm, fit.kernels, dtype)
