"""Documents to a plan: which scheme each group of layers should have on each device, and why."""

from __future__ import annotations

from qprobe.policy.inputs import check_request
from qprobe.policy.planning import make_plan

__all__ = ["check_request", "make_plan"]
