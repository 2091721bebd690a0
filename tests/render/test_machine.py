from __future__ import annotations

from qprobe.documents.machine import Host
from qprobe.render.machine import machine_text
from tests.doctor.machines import load
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


def test_a_machine_from_tables_says_so_first():
    assert machine_text(load("a100_mig")).startswith("Written from tables")
    assert "Written from tables" not in machine_text(machine())


def test_the_state_of_a_gpu_is_shown_where_it_is_told():
    page = machine_text(load("rtx_4090"))
    assert "clocks held by  power cap, software thermal" in page
    assert "PCIe lanes      8 of 16" in page
    assert "slices          3g.20gb, 2g.10gb" in machine_text(load("a100_mig"))
    assert "NVRTC          13.0 (wheel)" in page


def test_what_the_system_gives_to_the_process_is_shown():
    host = Host(
        container="docker",
        kernel_driver="580.95.05",
        device_nodes=("nvidia0", "nvidiactl"),
        cpu_limit_cores=1.5,
        memory_limit_bytes=2**33,
        load=0.25,
        cache_is_writable=True,
    )
    page = " ".join(machine_text(machine(host=host)).split())
    for words in ("container docker", "limit of cores 1.50", "limit of memory 8.00 GiB"):
        assert words in page
    assert "load before 0.25" in page
    assert "kernel's driver 580.95.05 device files nvidia0 nvidiactl" in page
    assert "Surroundings" not in machine_text(machine())


def test_gpus_that_were_not_asked_about_are_not_called_none():
    narrowed = load("h100_cu13").limited_to(("cpu",))
    lines = machine_text(narrowed).splitlines()
    assert lines[lines.index("GPU") + 1].split(maxsplit=1) == ["cards", "not asked about"]
    lines = machine_text(load("epyc_avx2")).splitlines()
    assert lines[lines.index("GPU") + 1].strip() == "none"
