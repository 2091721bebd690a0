"""Kernels on the emulator, in the place of a card."""

from dataclasses import replace

import pytest

from qprobe.kernels import registry
from qprobe.kernels.cuda import _ready, driver, quantizer
from qprobe.kernels.cuda.kernels import cuda_kernels
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
