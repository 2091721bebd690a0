"""Diagnoses a machine: which checks there are and what they find, which methods and what they do."""

from __future__ import annotations

from qprobe.doctor.advice import advise as advise
from qprobe.doctor.asking import questions_for as questions_for
from qprobe.doctor.naming import sort_names as sort_names
from qprobe.doctor.recorded import by_rule as by_rule
from qprobe.doctor.runner import list_checks as list_checks
from qprobe.doctor.runner import run_checks as run_checks
from qprobe.doctor.trying import Trying as Trying
from qprobe.doctor.trying import devices_of as devices_of
from qprobe.doctor.trying import list_methods as list_methods
