"""Kernels × shapes → Profile, by timing the very layers that a plan installs."""

from qprobe.bench._ensure import ensure_profile, wanted_shapes
from qprobe.bench._run import run_bench

__all__ = ["ensure_profile", "run_bench", "wanted_shapes"]
