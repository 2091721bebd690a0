"""Plan + model → quantized model, and the measurement of what the plan promised."""

from qprobe.apply._apply import apply_plan, receipt_of
from qprobe.apply._verify import verify_plan

__all__ = ["apply_plan", "receipt_of", "verify_plan"]
