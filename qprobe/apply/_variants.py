"""The models that an applied plan is compared with: as stored, cast, and every uniform scheme."""

from __future__ import annotations

import copy

import torch
from torch import nn

from qprobe.apply._fit import fit_kernels
from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.names import resolve_modules
from qprobe.documents.plan import Alternative, Assignment, Choice, GroupPlan, Plan
from qprobe.documents.scheme import SCHEMES
from qprobe.layers import make_layer
from qprobe.layers._linear import PlannedLinear


def make_variant(plan: Plan, alternative: Alternative, module: nn.Module, kind: str) -> nn.Module:
    """A model of its own that does what the alternative would; `module` is as stored.

    `kind` is the kind of device ("cpu", "cuda"). What cannot compute there is replaced as
    `apply_plan` would.
    """
    variant = copy.deepcopy(module)
    dtype: torch.dtype = getattr(torch, alternative.compute_dtype or "float32")
    paths = resolve_modules(module, (item.tensor for item in plan.assignments))
    choices = {group: choice for choice in alternative.choices for group in choice.groups}
    for item in plan.assignments:
        linear = variant.get_submodule(paths[item.tensor])
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"{paths[item.tensor]} is a {type(linear).__name__}")
        layer = _make(linear, choices[item.group], item, dtype, kind)
        parent, _, name = paths[item.tensor].rpartition(".")
        setattr(variant.get_submodule(parent), name, layer)
    return cast_module(variant, dtype, skip=(PlannedLinear,))


def _make(
    linear: nn.Linear, choice: Choice, item: Assignment, dtype: torch.dtype, kind: str
) -> nn.Linear:
    group = GroupPlan(
        scheme=SCHEMES[choice.scheme],
        algorithm=choice.algorithm,
        kernels=choice.kernels,
        reasons=(),
        rejected=(),
    )
    fit = fit_kernels(group, item.n, item.k, dtype, kind)
    return make_layer(linear, group.scheme, group.algorithm, fit.kernels, dtype)
