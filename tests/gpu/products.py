"""Layers for any kernel on a card, and the exact product to compare with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.layers import make_layer
from qprobe.quantize.scheme import dequantize_weight, quantize_weight

LIMITS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}
"""Of the error, over the size of the terms that are summed."""
KERNELS = tuple(kernel for kernel in kernels_for("cuda") if kernel.id != "reference")
PAIRS = [(kernel, scheme) for kernel in KERNELS for scheme in sorted(kernel.schemes)]
IDS = [f"{kernel.id}-{scheme}" for kernel, scheme in PAIRS]


@dataclass
class Product:
    """Operands on a card, and what they stand for."""

    kernel: object
    spec: LayerSpec
    x: torch.Tensor
    tensors: dict
    bias: torch.Tensor

    @property
    def objection(self):
        return self.kernel.objection(self.spec)

    @property
    def limit(self):
        """What the error may be."""
        return max(LIMITS[self.spec.activation_dtype], self.kernel.sum_error)

    def run(self, packed=None):
        """y by the kernel."""
        packed = self.kernel.pack(self.tensors, self.spec) if packed is None else packed
        codes, scale = self.operands()
        return self.kernel.run(codes, scale, packed, self.bias, self.spec.activation_dtype)

    def run_poisoned(self):
        """y by the kernel, where torch fills all memory that it hands out with NaN: what is not written stays so."""
        packed, before = (
            self.kernel.pack(self.tensors, self.spec),
            torch.are_deterministic_algorithms_enabled(),
        )
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            assert torch.utils.deterministic.fill_uninitialized_memory
            assert torch.empty(4, device=self.x.device).isnan().all()
            return self.run(packed)
        finally:
            torch.use_deterministic_algorithms(before)

    def operands(self):
        """x as the kernel wants it."""
        if self.kernel.input == "float":
            return self.x, None
        return quantize_tokens(self.x, self.kernel.input)

    def error(self, y):
        """‖y−ŷ‖ over the size of the terms, in float64."""
        codes, scale = self.operands()
        seen = self.x.double() if scale is None else dequantize_tokens(codes, scale)
        weight = dequantize_weight(self.tensors, SCHEMES[self.spec.scheme], torch.float64)
        exact = seen @ weight.T + self.bias.double()
        size = (seen.abs() @ weight.abs().T + self.bias.double().abs()).norm()
        assert y.shape == exact.shape
        return float((y.double() - exact).norm() / size) if y.numel() else 0.0


def make_product(kernel, scheme, dtype, m, n, k, device, seed=0):
    """Random operands with outliers, zeros and negatives, fresh for each seed."""
    generator = torch.Generator(device).manual_seed(seed + m + 1000 * n + k)
    x = torch.randn(m, k, generator=generator, device=device)
    x *= 1 + 20 * (torch.rand(k, generator=generator, device=device) < 0.02)
    weight = torch.randn(n, k, generator=generator, device=device)
    if n > 1:
        weight[0] = 0
    bias = torch.randn(n, generator=generator, device=device).to(dtype)
    preset = SCHEMES[scheme]
    algorithm = choose_algorithm(preset, kernel)
    spec = LayerSpec(scheme, n, k, dtype, preset.algorithms[algorithm], str(device))
    stored = weight.to(dtype) if preset.weights is None else weight
    return Product(kernel, spec, x.to(dtype), quantize_weight(stored, preset, algorithm), bias)


def make_layer_of(kernel_ids, scheme, n, k, dtype, device):
    """The layer that a plan would install, by kernels up to some rows: [(id, m_max), …]."""
    generator = torch.Generator().manual_seed(n + k)
    linear = torch.nn.Linear(k, n, device=device)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(n, k, generator=generator) / k**0.5)
    ranges, first = [], 1
    for kernel_id, last in kernel_ids:
        ranges.append(KernelRange(kernel=kernel_id, m_min=first, m_max=last))
        first = (last or 0) + 1
    algorithm = next(iter(SCHEMES[scheme].algorithms))
    return make_layer(linear, SCHEMES[scheme], algorithm, ranges, dtype)
