"""Kernels on the emulator, in the place of a card."""

from dataclasses import replace

import pytest
import torch

from qprobe.kernels import registry
from qprobe.kernels.cuda import _ready, driver, quantizer
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.reference import KERNEL as REFERENCE
from qprobe.layers._coded import CodedLinear
from tests.kernels.cuda.bound import make, rows
from tests.kernels.cuda.emulated import EmulatedDriver


@pytest.fixture
def emulated(monkeypatch):
    """The driver that launches now; what was prepared for another is forgotten before and after."""
    found = EmulatedDriver()
    monkeypatch.setattr(driver, "current", lambda: found)
    forget()
    yield found
    forget()


def forget():
    _ready.forget()
    quantizer.forget()


@pytest.fixture
def on_processor(emulated, monkeypatch):
    """The registry with CUDA kernels that take the processor for their device."""
    found = registry.all_kernels() | {k.id: replace(k, device="any") for k in cuda_kernels()}
    monkeypatch.setattr(registry, "all_kernels", lambda: found)
    return emulated


@pytest.fixture
def alone(emulated, monkeypatch):
    """The registry without kernels of the processor, for which the CUDA kernels take it."""
    found = {k.id: replace(k, device="any") for k in cuda_kernels()} | {REFERENCE.id: REFERENCE}
    monkeypatch.setattr(registry, "all_kernels", lambda: found)
    return emulated


@pytest.fixture
def long_ways(monkeypatch):
    """The calls that were not of the kind of the last one, by their x."""
    seen, exact = [], CodedLinear._launch

    def listen(self, x, bias):
        seen.append(x)
        return exact(self, x, bias)

    monkeypatch.setattr(CodedLinear, "_launch", listen)
    return seen


@pytest.fixture
def layer(on_processor, long_ways):
    """A layer that has a launch ready for two rows."""
    made = make()
    with torch.no_grad():
        made(rows())
    on_processor.launched.clear()
    long_ways.clear()
    return made
