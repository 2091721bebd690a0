"""Applies a plan to a model and measures what it promised."""

from __future__ import annotations

from pathlib import Path

from qprobe.documents.files import load_document
from qprobe.documents.plan import Plan
from qprobe.documents.receipt import Receipt
from qprobe.timing.progress import Progress, silent


def verify(
    model: str, plan_file: Path, data: str | None = None, progress: Progress = silent
) -> Receipt:
    """Time and compare the applied plan with the model as stored, on `data` or the shipped text.

    `data`: a text file. The receipt's `passed` says whether the error stayed within its limit.
    """
    plan = load_document(Plan, plan_file)
    from qprobe.apply import verify_plan
    from qprobe.flow.hub import find_model

    path = find_model(model)
    text = None
    if data is not None:
        from qprobe.checkpoint.text import read_text

        text = read_text(data)
    return verify_plan(path, plan, text, progress=progress)
