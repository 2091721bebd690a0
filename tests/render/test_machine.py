from __future__ import annotations

from qprobe.render.machine import machine_text
from tests.render.samples import gpu, machine


def test_what_could_not_be_read_is_unknown_and_says_why():
    page = machine_text(machine())
    assert "read bandwidth  unknown" in page
    assert "gpus: NVML Shared Library Not Found" in page


def test_a_gpu_of_which_nothing_is_known_but_its_name():
    page = machine_text(machine(gpus=(gpu(),)))
    assert "sm_90" in page
    assert "unknown of unknown" in page


def test_variables_that_change_the_kernels_are_shown():
    assert "ONEDNN_MAX_CPU_ISA  AVX2" in machine_text(machine())
