"""Layers with a launch ready for two rows, what they are given, and whether they are right."""

import torch
from torch import nn

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.layers import make_layer

LIMITS = {torch.float32: 2e-6, torch.float16: 1e-3, torch.float64: 8e-3}


def make(scheme="W4A16", kernel="cuda.gemv_w4a16", seed=0):
    torch.manual_seed(seed)
    linear, algorithm = nn.Linear(256, 70), next(iter(SCHEMES[scheme].algorithms))
    ranges = (KernelRange(kernel=kernel, m_min=1, m_max=None),)
    return make_layer(linear, SCHEMES[scheme], algorithm, ranges, torch.float16)


def rows(count=2, seed=1, dtype=torch.float16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 256, generator=generator).to(dtype)


def is_right(layer, x, y):
    exact = x.double() @ layer.dequantize(torch.float64).T
    if layer.bias is not None:
        exact = exact + layer.bias.double()
    return y.dtype == x.dtype and float((y - exact).norm()) <= LIMITS[x.dtype] * float(exact.norm())
