"""What a module gives, holds, and which of its linears are planned."""

import torch

from qprobe.checkpoint.forward import run_forward
from qprobe.layers._linear import PlannedLinear

IDS = torch.arange(24).reshape(2, 12) % 90


def output(module):
    with torch.no_grad():
        return run_forward(module, IDS)


def snapshot(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def planned(module):
    return {name for name, child in module.named_modules() if isinstance(child, PlannedLinear)}
