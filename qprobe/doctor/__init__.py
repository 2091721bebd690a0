"""Diagnoses a machine from its document: which checks there are, and what they find."""

from __future__ import annotations

from qprobe.doctor.runner import list_checks as list_checks
from qprobe.doctor.runner import run_checks as run_checks
