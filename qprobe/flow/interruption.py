"""How a plan that was cut short hands over what it has."""

from __future__ import annotations

from qprobe.documents.plan import Plan


class InterruptedWith(KeyboardInterrupt):
    """Ctrl-C, with the plan that could be made of what was there by then."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
