"""What the probe has to ask of torch before checks can answer."""

from __future__ import annotations

from collections.abc import Iterable

from qprobe.doctor._check import EVERYTHING
from qprobe.doctor.runner import list_checks


def questions_for(checks: Iterable[str], has_methods: bool) -> tuple[str, ...]:
    """The questions that checks, those that they need, and methods want answered, in their order.

    Methods want to know which GPUs there are, which torch tells where the driver does not.
    """
    known = {check.id: check for check in list_checks()}
    left, asked = list(checks), {"facts"} if has_methods else set()
    while left:
        check = known[left.pop()]
        asked |= set(check.asks)
        left += check.needs
    return tuple(question for question in EVERYTHING if question in asked)
