"""Kernels on the emulator, in the place of a card."""

import pytest

from qprobe.kernels.cuda import _products, driver, quantizer
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
    _products.forget()
    quantizer.forget()
