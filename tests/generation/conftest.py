"""The trained generator: its checkpoint, its Model, and text that it has not seen."""

import pytest

from qprobe.checkpoint import read_model
from qprobe.checkpoint.loading import load_module
from tests.checkpoints import import_transformers
from tests.generator import HELD_OUT, generator, windows


@pytest.fixture(scope="session")
def path():
    """Trained where the cache lacks it, which takes most of a minute."""
    import_transformers()
    return generator()


@pytest.fixture(scope="session")
def model(path):
    return read_model(path)


@pytest.fixture
def module(path):
    return load_module(path)


@pytest.fixture(scope="session")
def unseen(path):
    """Windows spread over the held-out modules: (24, 128) int64."""
    found = windows((path / HELD_OUT).read_text(encoding="utf-8"))
    return found[:: len(found) // 24][:24]
