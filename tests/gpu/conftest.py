"""Everything here needs a card: it is skipped with the reason where there is none."""

from pathlib import Path

import pytest
import torch

from qprobe.kernels import gpus
from qprobe.kernels.cuda import driver

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    words = gpus.no_gpu()
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(pytest.mark.gpu)
            if words:
                item.add_marker(pytest.mark.skip(reason=words))


@pytest.fixture(scope="session")
def device():
    """The first card; fails, not skips, where our kernels cannot be launched on it."""
    assert driver.current().find_obstacle() == ""
    return torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def without_leftovers():
    """A fault of the test before is not blamed on this one; what it held is let go of."""
    yield
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
