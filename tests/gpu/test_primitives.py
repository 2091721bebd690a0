"""Every primitive on a live card gives the golden vectors bit for bit: the emulator's model is the card's."""

import numpy as np
import pytest

from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import driver, suspects
from tests.gpu.primitives import ask, copy_sources, lacks, read_golden

GOLDEN = read_golden()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("primitives"))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_card_answers_as_the_emulator_did(device, sources, name):
    card = driver.find_card(device.index)
    if words := lacks(sources[name], name, card):
        pytest.skip(words)
    if words := suspects.find_crash(sources[name], card):
        pytest.fail(words)
    try:
        answer = ask(sources[name], name, GOLDEN[name], device.index)
    except UnavailableError as error:
        pytest.fail(f"{name} does not build for {card.capability}: {error}")
    assert np.array_equal(answer, GOLDEN[name].y)
