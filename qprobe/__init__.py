"""Tells which quantization works on the hardware you have, plans it layer by layer, and applies it.

Every name is loaded when it is first used: `import qprobe` alone imports neither torch nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import Any

from qprobe._version import __version__

_HOMES = {  # `__init__.pyi` says the same to type checkers
    "qprobe.apply": "apply_plan receipt_of verify_plan",
    "qprobe.timing.allocator": "keep_freed_memory",
    "qprobe.bench": "run_bench",
    "qprobe.checkpoint": "read_model",
    "qprobe.documents.base": "Quantity",
    "qprobe.documents.files": "load_document save_document",
    "qprobe.documents.finding": "Diagnosis Finding Fix Speed Trial Verdict",
    "qprobe.documents.machine": "Cpu Fingerprint Gpu GpuState Host Int8SelfTest Machine Nvrtc Software TorchBuild",
    "qprobe.documents.model": "KvWindow Linear Model",
    "qprobe.documents.objective": "ErrorLimit Objective",
    "qprobe.documents.plan": "Alternative Assignment Choice ErrorEstimate GroupPlan GroupPredicted"
    " KernelRange Plan PlannedModel Predicted Rejected Section",
    "qprobe.documents.plans": "load_plan",
    "qprobe.documents.profile": "Cell Conditions KernelFact Measurement Peak Profile Rest Shape Skipped",
    "qprobe.documents.receipt": "LayerReceipt Receipt Variant",
    "qprobe.documents.scheme": "SCHEMES CastWeights ChannelWeights CodebookWeights GroupWeights Scheme TokenActivations",
    "qprobe.documents.sensitivity": "GroupGain LayerNoise Sensitivity UniformError",
    "qprobe.errors": "InfeasibleError InputError PlanMismatchError QprobeError UnavailableError",
    "qprobe.policy": "make_plan",
    "qprobe.probe": "probe_machine",
    "qprobe.sensitivity": "measure_sensitivity",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Load a public name from its home, once."""
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    message = f"module 'qprobe' has no attribute {name!r}"
    if not name.startswith("_"):
        from difflib import get_close_matches

        if close := get_close_matches(name, _HOME, n=1):
            message += f"; did you mean {close[0]!r}?"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
