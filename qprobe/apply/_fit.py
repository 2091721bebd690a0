"""Chooses, among the kernels that can run here and are right, those closest to what was planned."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

import torch

from qprobe.apply._fault import find_fault
from qprobe.documents.plan import GroupPlan, KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.documents.turns import most_rows
from qprobe.errors import PlanMismatchError
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.registry import all_kernels, get_kernel, kernels_for


@dataclass(frozen=True)
class Fit:
    """The kernels for a layer, and what had to change ("" where nothing had to)."""

    kernels: tuple[KernelRange, ...]
    change: str


def fit_kernels(
    group: GroupPlan,
    n: int,
    k: int,
    compute_dtype: torch.dtype,
    device: str,
    *,
    is_measured: bool = True,
) -> Fit:
    """The planned kernels where they can compute an (N, K) layer here, or others that can.

    The reference kernel computes everything that can be stored, everywhere. `device` is "cpu" or
    "cuda:N". What is not `is_measured` on such a device, and what stands in for something else, is
    tried before it is taken. Raises InputError for a kernel that this version does not have,
    PlanMismatchError where the scheme cannot store the layer, and CrashError where a kernel that was
    tried took the device from the process.
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
    if not objections and not is_measured:
        objections = _find_faults(group.kernels, spec)
    if not objections:
        return Fit(group.kernels, "")
    kernels, faults = _substitute(spec, objections)
    why = "; ".join({**objections, **faults}.values())
    names = ", ".join(item.kernel for item in kernels)
    return Fit(kernels, f"{', '.join(objections)} → {names}: {why}")


def _find_faults(kernels: Iterable[KernelRange], spec: LayerSpec) -> dict[str, str]:
    """Kernel id → what is wrong with it here, of those that are wrong."""
    faults: dict[str, str] = {}
    for item in kernels:
        if words := find_fault(get_kernel(item.kernel), spec, item):
            faults.setdefault(item.kernel, words)
    return faults


def _substitute(
    spec: LayerSpec, refused: Container[str]
) -> tuple[tuple[KernelRange, ...], dict[str, str]]:
    """Kernels that compute such layers here, and what is wrong with those that would come before them."""
    possible = [
        kernel
        for kernel in kernels_for(spec.device)
        if kernel.id not in refused and not kernel.unproven and not kernel.objection(spec)
    ]
    faults: dict[str, str] = {}
    while True:
        chain = _chain([kernel for kernel in possible if kernel.id not in faults], spec)
        found = _find_faults(chain, spec)
        if not found:
            return chain, faults
        faults |= found


def _chain(possible: list[Kernel], spec: LayerSpec) -> tuple[KernelRange, ...]:
    """The first kernel for any number of rows, before it those for fewer that share its packing.

    Where the scheme quantizes activations, kernels that multiply codes come before those that
    multiply floating-point numbers, which are no faster than without quantization.
    """
    if SCHEMES[spec.scheme].input_activations is not None:
        possible = sorted(possible, key=lambda kernel: kernel.input == "float")
    limits = most_rows(possible)
    last = possible[limits.index(None)]
    few = {
        rows: kernel
        for rows, kernel in zip(reversed(limits), reversed(possible), strict=True)
        if rows and kernel.packing == last.packing
    }
    found, m_min = [], 1
    for rows in sorted(few):
        found.append(KernelRange(kernel=few[rows].id, m_min=m_min, m_max=rows))
        m_min = rows + 1
    found.append(KernelRange(kernel=last.id, m_min=m_min, m_max=None))
    return tuple(found)


def refuse_unknown_kernels(groups: dict[str, GroupPlan]) -> None:
    """Raise InputError where a plan names a kernel that this version does not have."""
    known = all_kernels()
    for group in groups.values():
        for item in group.kernels:
            if item.kernel not in known:
                get_kernel(item.kernel)
