"""Every primitive on a live card gives the golden vectors bit for bit: the emulator's model is the card's."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.portfolio import read_source
from qprobe.kernels.sources import find_sources
from tests.gpu.primitives import SOURCES, read_golden

GOLDEN = read_golden()
FEATURES = {
    "ldmatrix": "ldmatrix",
    "mma_s8_8x8x16": "imma_8816",
    "mma_s8_16x8x32": "imma_8816",  # composed of it before 8.0
    "mma_s4_8x8x32": "imma_8832_s4",
    "mma_s4_16x8x64": "imma_8832_s4",
    "mma_f16_16x8x8": "hmma_1688",
    "mma_f16_16x8x16": "hmma_1688",
    "mma_bf16_16x8x16": "hmma_16816_bf16",
    "mma_e4m3_16x8x32": "qmma_16832_fp8",
    "boxes": "cp_async_bulk",
    "wgmma_s8_64x128x32": "wgmma",
    "wgmma_s8_64x256x32": "wgmma",
    "wgmma_f16_64x256x16": "wgmma",
    "wgmma_bf16_64x256x16": "wgmma",
    "wgmma_e4m3_64x256x32": "wgmma",
}
"""Build → what the card must have, native or emulated; the others run on every card."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Name of the primitive → the kernel that it is a build of, beside the header that it includes."""
    folder = tmp_path_factory.mktemp("primitives")
    for header in find_sources().glob("*.cuh"):
        shutil.copy(header, folder)
    read = [read_source(Path(shutil.copy(path, folder))) for path in SOURCES]
    return {build: source for source in read for build in source.builds}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_card_answers_as_the_emulator_did(device, sources, name):
    source = sources[name]
    card = driver.find_card(device.index)
    build = source.builds[name]
    oldest = min(tuple(map(int, arch.plain(t).split("."))) for t in build.architectures)
    if tuple(map(int, card.capability.split("."))) < oldest:
        pytest.skip(f"{name} is for {'.'.join(map(str, oldest))} and later")
    feature = FEATURES.get(name)
    if feature and arch.support(feature, card.capability) == "absent":
        pytest.skip(f"{card.capability} has no {feature}")
    vector = GOLDEN[name]
    x = torch.from_numpy(vector.x.view(np.int32).copy()).to(device)
    y = torch.full((vector.y.size,), -1, dtype=torch.int32, device=device)
    try:
        call = Call(source, name, device.index, vector.counts, ("x", "y"))
    except UnavailableError as error:
        pytest.fail(f"{name} does not build for {card.capability}: {error}")
    call.run(x, y)
    torch.cuda.synchronize()
    assert np.array_equal(y.cpu().numpy().view(np.uint32), vector.y)
