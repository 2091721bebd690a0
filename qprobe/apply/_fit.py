"""Chooses, among the kernels that can run here, those closest to what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qprobe.documents.plan import GroupPlan, KernelRange
from qprobe.errors import PlanMismatchError
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.registry import all_kernels, get_kernel, kernels_for


@dataclass(frozen=True)
class Fit:
    """The kernels for a layer, and what had to change ("" where nothing had to)."""

    kernels: tuple[KernelRange, ...]
    change: str


def fit_kernels(group: GroupPlan, n: int, k: int, compute_dtype: torch.dtype, device: str) -> Fit:
    """The planned kernels where they can compute an (N, K) layer here, or others that can.

    The reference kernel computes everything that can be stored, everywhere. `device` is "cpu" or
    "cuda:N". Raises InputError for a kernel that this version does not have, and
    PlanMismatchError where the scheme cannot store the layer.
    """
    if words := group.scheme.objection(n, k):
        raise PlanMismatchError(f"{group.scheme.name} cannot store this layer: {words}", "re-plan")
    if group.algorithm not in group.scheme.algorithms:
        raise PlanMismatchError(
            f"{group.scheme.name} has no algorithm {group.algorithm!r:.60}; it has "
            f"{', '.join(group.scheme.algorithms)}",
            "re-plan",
        )
    code = group.scheme.algorithms[group.algorithm]
    spec = LayerSpec(group.scheme.name, n, k, compute_dtype, code, device)
    objections = {
        item.kernel: objection
        for item in group.kernels
        if (objection := get_kernel(item.kernel).objection(spec))
    }
    if not objections:
        return Fit(group.kernels, "")
    possible = [kernel for kernel in kernels_for(device) if not kernel.objection(spec)]
    substitutes = _share_rows([k for k in possible if k.packing == possible[0].packing])
    names = ", ".join(item.kernel for item in substitutes)
    why = "; ".join(objections.values())
    return Fit(substitutes, f"{', '.join(objections)} → {names}: {why}")


def _share_rows(kernels: Sequence[Kernel]) -> tuple[KernelRange, ...]:
    """Ranges of M for kernels of one packing: each up to the rows that it is meant for.

    Of those without a limit the first takes the rest; where all have one, the last goes on.
    """
    first = next((k for k in kernels if k.max_rows is None), None)
    limited: dict[int, Kernel] = {}
    for kernel in kernels:
        if kernel.max_rows is not None:
            limited.setdefault(kernel.max_rows, kernel)
    chain = [limited[rows] for rows in sorted(limited)] + ([first] if first else [])
    ends = [kernel.max_rows for kernel in chain[:-1]]
    starts = [1, *((end or 0) + 1 for end in ends)]
    return tuple(
        KernelRange(kernel=kernel.id, m_min=start, m_max=end)
        for kernel, start, end in zip(chain, starts, [*ends, None], strict=True)
    )


def refuse_unknown_kernels(groups: dict[str, GroupPlan]) -> None:
    """Raise InputError where a plan names a kernel that this version does not have."""
    known = all_kernels()
    for group in groups.values():
        for item in group.kernels:
            if item.kernel not in known:
                get_kernel(item.kernel)
