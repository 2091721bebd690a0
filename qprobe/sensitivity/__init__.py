"""How much each scheme hurts each layer of a model, measured through the model itself."""

from qprobe.sensitivity._ensure import ensure_sensitivity
from qprobe.sensitivity._measure import measure_sensitivity

__all__ = ["ensure_sensitivity", "measure_sensitivity"]
