"""How deployment code reads a plan."""

from __future__ import annotations

from pathlib import Path

from qprobe.documents.files import load_document
from qprobe.documents.plan import Plan


def load_plan(path: Path | str) -> Plan:
    """Read and validate a plan; raises InputError naming the file and the field."""
    return load_document(Plan, path)
