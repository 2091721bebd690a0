"""Asks the machine what it is, and measures what cannot be asked."""

from __future__ import annotations

from qprobe.probe.machine import probe_machine as probe_machine
