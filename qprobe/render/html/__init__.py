"""One self-contained page for the diagnosis or the plan: no scripts, nothing from elsewhere."""

from __future__ import annotations

from qprobe.render.html.diagnosis_page import diagnosis_html
from qprobe.render.html.fill import require_html
from qprobe.render.html.plan_page import plan_html

__all__ = ["diagnosis_html", "plan_html", "require_html"]
