"""From tensors by name to the memory that a kernel reads and writes."""

import pytest
import torch

from qprobe.errors import InputError
from qprobe.kernels.cuda.launch import Call, launch
from qprobe.kernels.cuda.portfolio import all_sources

CPU = torch.device("cpu")


def copy(x, y, n):
    launch(all_sources()["copy"], "", CPU, {"x": x, "y": y}, n=n)


@pytest.mark.parametrize("n", [1, 1000, 1025])
def test_a_launch_reads_and_writes_the_tensors_it_is_given(emulated, n):
    call = Call(all_sources()["copy"], "", 0, {"n": n}, ("y", "bias", "x"))
    bias = torch.zeros(1)  # Which the kernel does not take.
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randint(0, 255, (n, 16), dtype=torch.uint8, generator=generator)
        y = torch.zeros_like(x)
        call.run(y, bias, x)
        assert torch.equal(x, y)
    assert emulated.launched == [("copy", "", (-(-n // 1024), 1, 1))] * 2


def test_a_launch_takes_addresses_as_many_as_it_has_names_for(emulated):
    call = Call(all_sources()["copy"], "", 0, {"n": 16}, ("y", "bias", "x"))
    x = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    y = torch.zeros_like(x)
    call.start([y.data_ptr(), 0, x.data_ptr()])
    assert torch.equal(x, y)
    for given in ([y.data_ptr(), x.data_ptr()], [y.data_ptr(), 0, x.data_ptr(), 0]):
        with pytest.raises(ValueError, match="size"):
            call.start(given)
    assert len(emulated.launched) == 1


def test_a_tensor_that_is_missing_is_named(emulated):
    with pytest.raises(TypeError, match="needs y"):
        launch(all_sources()["copy"], "", CPU, {"x": torch.zeros(16)}, n=1)
    with pytest.raises(TypeError, match="needs y"):
        copy(torch.zeros(16), None, 1)
    assert emulated.launched == []


@pytest.mark.parametrize("n", [-1, 2**31])
def test_a_count_beyond_32_bits_is_refused(emulated, n):
    x = torch.zeros(16)
    with pytest.raises(InputError):
        copy(x, x.clone(), n)
