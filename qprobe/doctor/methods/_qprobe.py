"""A scheme of qprobe's own, by every kernel that can compute it here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Level, Method, Without
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import InputError, UnavailableError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from qprobe.doctor.execution.report import Report
    from qprobe.kernels._kernel import Kernel

ACTIVATION_ERROR = {"int": 0.02, "float": 0.04}
"""Of 8-bit activations with a scale per token, by their type."""
WEIGHT_ERROR = {("int", 8): 0.02, ("float", 8): 0.04, ("int", 4): 0.16, ("nf4", 4): 0.13}


def qprobe_method(
    scheme: str,
    *,
    level: Level = "full",
    feature: str = "",
    without: Without = "falls back",
    fallback: str = "",
) -> Method:
    """The method of a scheme, by its name in `SCHEMES`; none of ours refuses a device."""
    stored, activations = SCHEMES[scheme].weights, SCHEMES[scheme].input_activations
    if stored is None or stored.strategy == "cast":
        raise ValueError(f"{scheme} quantizes nothing")
    kind = {"int": "int", "float": "float", "nf4": "NormalFloat"}[stored.type]
    bits = stored.num_bits

    def make(linear: nn.Linear, dtype: torch.dtype) -> dict[str, Made]:
        return _ways(linear, dtype, scheme)

    return Method(
        id=f"qprobe-{scheme.lower().replace('_', '-')}",
        title=f"qprobe, {scheme}",
        bits=bits,
        family=f"{kind}{bits} weights" + (" and activations" if activations else ""),
        script=partial(
            _try,
            Layer(
                package="torch",
                load=_load,
                make=make,
                dtypes=("bfloat16", "float32", "float16"),
                weight_error=WEIGHT_ERROR[stored.type, bits],
                activation_error=ACTIVATION_ERROR[activations.type] if activations else 0.0,
            ),
        ),
        feature=feature,
        without=without,
        fallback=fallback,
        level=level,
    )


def _load() -> None:
    import torch  # noqa: F401

    import qprobe.layers  # noqa: F401


def _try(layer: Layer, report: Report) -> None:
    """The layer, and why kernels that it could have are not there."""
    layer(report)
    if report.kind == "cpu":
        from qprobe.kernels.cpp._library import load_library

        report.lacks("C++ kernels", load_library().reason)


def _ways(linear: nn.Linear, dtype: torch.dtype, scheme_name: str) -> dict[str, Made]:
    """The layer by each kernel that can compute it; by the reference only where no other can."""
    from qprobe.kernels._kernel import LayerSpec
    from qprobe.kernels.registry import choose_algorithm, kernels_for

    scheme = SCHEMES[scheme_name]
    if words := scheme.objection(linear.out_features, linear.in_features):
        raise InputError(words)
    device = linear.weight.device.type
    made: dict[str, Made] = {}
    for kernel in kernels_for(device):
        if scheme_name not in kernel.schemes or (made and kernel.id == "reference"):
            continue
        quick = scheme.quick_algorithm(choose_algorithm(scheme, kernel))
        code = scheme.algorithms[quick]
        n, k = linear.out_features, linear.in_features
        if not kernel.objection(LayerSpec(scheme_name, n, k, dtype, code, device)):
            made[kernel.id] = _by(kernel, linear, dtype, scheme_name, quick)
    if not made:
        raise UnavailableError(f"no kernel computes {scheme_name} in {dtype} here")
    return made


def _by(
    kernel: Kernel, linear: nn.Linear, dtype: torch.dtype, scheme_name: str, algorithm: str
) -> Made:
    import torch

    from qprobe.documents.plan import KernelRange
    from qprobe.layers import make_layer

    ranges = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
    layer = make_layer(linear, SCHEMES[scheme_name], algorithm, ranges, dtype)
    return Made(
        layer,
        partial(getattr(layer, "dequantize", lambda _dtype: layer.weight), torch.float32),
    )
