"""Plans that treat every layer of a model alike, through one kernel."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from qprobe.documents.model import Model
from qprobe.documents.plan import GroupPlan, KernelRange, Plan
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.registry import choose_algorithm, get_kernel
from tests.layers.hostile import Way, ways
from tests.plans import plan_for


def _cover(found: Iterable[Way]) -> tuple[Way, ...]:
    """Every scheme by the reference, and every kernel by one scheme."""
    found = sorted(found, key=lambda way: (way.kernel.id != "reference", way.scheme))
    kernels: set[str] = set()
    kept = []
    for way in found:
        if way.kernel.id == "reference" or way.kernel.id not in kernels:
            kernels.add(way.kernel.id)
            kept.append(way)
    return tuple(kept)


WAYS = _cover(ways(64, 128))
"""The generator's layers suit every kernel."""
EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)


def plan_of(model: Model, way: Way, **changes) -> Plan:
    """Every layer by one way."""
    dtype = str(way.dtype).removeprefix("torch.")
    return uniform_plan(model, way.scheme, way.kernel.id, compute_dtype=dtype, **changes)


def uniform_plan(
    model: Model, scheme: str, kernel: str = "reference", algorithm: str = "", **changes
) -> Plan:
    """Every layer under the scheme, the head included; the algorithm that suits the kernel."""
    group = GroupPlan(
        scheme=SCHEMES[scheme],
        algorithm=algorithm or choose_algorithm(SCHEMES[scheme], get_kernel(kernel)),
        kernels=(KernelRange(kernel=kernel, m_min=1, m_max=None),),
        reasons=("because the test says so",),
        rejected=(),
    )
    return plan_for(model, group, **changes)
