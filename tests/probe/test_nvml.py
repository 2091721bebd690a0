"""GPUs as a stand-in for NVML's own library describes them, and machines where it is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qprobe.probe import nvml, state
from qprobe.probe.torch_facts import TorchGpu

ASK = """
import json
from qprobe.probe.nvml import probe_gpus
unanswered = {}
answer = probe_gpus((), unanswered)
print(json.dumps([[gpu.model_dump() for gpu in answer.gpus], answer.driver, answer.cuda_driver,
                  unanswered]))
"""
STATE = """
import json
from qprobe.probe.state import read_state
states = [read_state(uuid) for uuid in ("100", "GPU-beef", "no-such", 0)]
print(json.dumps([None if state is None else state.model_dump() for state in states]))
"""
COMPILER = shutil.which("cc") or shutil.which("gcc")


OLD = """
import pynvml
del pynvml.nvmlDeviceGetCurrentClocksEventReasons, pynvml.nvmlDeviceGetMaxPcieLinkGeneration
name, uuid, mode = pynvml.nvmlDeviceGetName, pynvml.nvmlDeviceGetUUID, pynvml.nvmlDeviceGetComputeMode
pynvml.nvmlDeviceGetName = lambda handle: name(handle).encode()
pynvml.nvmlDeviceGetUUID = lambda handle: uuid(handle).encode()
pynvml.nvmlDeviceGetComputeMode = lambda: mode
"""
"""As in `pynvml` 11: functions that came later are not there, text is bytes, arguments are others."""


def ask(library_folder, script=ASK):
    """Ask in a process that finds libnvidia-ml.so.1 in `library_folder` only."""
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(library_folder),
        "PYTHONPATH": str(Path(nvml.__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def build(folder, *options):
    source = Path(__file__).with_name("nvml_stub.c")
    target = folder / "libnvidia-ml.so.1"
    command = [COMPILER, "-shared", "-fPIC", *options, "-o", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C compiler")
    return ask(build(tmp_path_factory.mktemp("nvml")))


def test_a_v100_is_described_in_si_units(answer):
    gpu = answer[0][0]
    assert gpu == {
        "index": 0,
        "name": "Tesla V100-SXM2-16GB",
        "compute_capability": "7.0",
        "sm_count": None,
        "memory_bytes": 16 * 2**30,
        "free_memory_bytes": 15 * 2**30,
        "sm_clock_hz": 1.38e9,
        "sm_clock_max_hz": 1.53e9,
        "memory_clock_hz": 1.38e9,
        "power_limit_w": 300.0,
        "ecc": True,
        "mig": None,
        "processes": 0,
        "performance_state": 0,
        "throttle_reasons": ["power_cap", "software_thermal"],
        "power_limit_default_w": 300.0,
        "pcie_generation": 1,
        "pcie_generation_max": 3,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "compute_mode": "default",
        "ecc_uncorrected_errors": 2,
        "mig_profiles": None,
        "device": None,
    }


def test_an_idle_card_in_a_narrow_slot(answer):
    gpu = answer[0][1]
    assert gpu["throttle_reasons"] == ["idle"]
    assert (gpu["pcie_width"], gpu["pcie_width_max"]) == (4, 16)
    assert gpu["compute_mode"] == "exclusive"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_an_old_pynvml_tells_what_it_can(tmp_path):
    gpus, driver, _, unanswered = ask(build(tmp_path), OLD + ASK)
    assert (gpus[0]["name"], driver) == ("Tesla V100-SXM2-16GB", "535.183.01")
    assert gpus[0]["throttle_reasons"] == ["power_cap", "software_thermal"]
    assert "no attribute" in unanswered["gpus.0.pcie_generation_max"]
    assert "argument" in unanswered["gpus.0.compute_mode"]
    assert ask(tmp_path, OLD + STATE)[0]["throttled"] == [
        "software power cap", "software thermal slowdown",
    ]  # fmt: skip


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_the_library_is_found_where_the_loader_finds_it(tmp_path):
    script = "from qprobe.probe.nvml import has_library; print(str(has_library()).lower())"
    assert ask(tmp_path, script) is False
    (tmp_path / "libnvidia-ml.so.1").write_bytes(
        b""
    )  # as images hold it that were made on a host with a driver
    assert ask(tmp_path, script) is False
    assert ask(build(tmp_path), script) is True


def test_driver_versions(answer):
    assert answer[1:3] == ["535.183.01", "12.2"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("gpus.0.mig", "Function Not Found"),
        ("gpus.1.ecc", "Not Supported"),
        ("gpus.1.power_limit_w", "Insufficient Permissions"),
        ("gpus.1.sm_clock_hz", "NVML answered 0"),
        ("gpus.1.performance_state", "Not Supported"),
        ("gpus.1.ecc_uncorrected_errors", "Not Supported"),
        ("gpus.1.sm_count", "NVML does not tell, and torch does not see this GPU"),
    ],
)
def test_what_nvml_cannot_tell_is_in_its_own_words(answer, field, words):
    gpus, _, _, unanswered = answer
    assert unanswered[field] == words
    _, index, name = field.split(".")
    assert gpus[int(index)][name] is None


def test_what_nvml_tells_is_not_called_unanswered(answer):
    assert "gpus" not in answer[3]
    assert not any(field.startswith("software") for field in answer[3])


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_broken_driver_in_its_own_words(tmp_path):
    gpus, driver, _, unanswered = ask(build(tmp_path, "-DMISMATCH"))
    assert (gpus, driver) == ([], None)
    assert unanswered["gpus"] == "RM has detected an NVML/RM version mismatch."


def test_no_library_in_the_words_of_nvml(tmp_path):
    if shutil.which("nvidia-smi"):
        pytest.skip("an NVIDIA driver is installed here")
    gpus, driver, _, unanswered = ask(tmp_path)
    assert (gpus, driver) == ([], None)
    assert unanswered["gpus"] == "NVML Shared Library Not Found"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_a_card_that_falls_off_the_bus_keeps_what_it_had_said(tmp_path):
    gpus, driver, _, unanswered = ask(build(tmp_path, "-DLOST"))
    assert driver == "535.183.01"
    assert [gpu["name"] for gpu in gpus] == ["Tesla V100-SXM2-16GB", "NVIDIA GeForce GTX 1660"]
    assert gpus[1]["memory_bytes"] == 16 * 2**30
    assert gpus[1]["processes"] is None
    assert unanswered["gpus.1.processes"] == "GPU is lost"
    assert not [field for field in unanswered if field.startswith("gpus.0.") and "mig" not in field
                and "sm_count" not in field]  # fmt: skip


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_a_driver_that_may_tell_nothing_is_quoted_for_every_field(tmp_path):
    gpus, _, _, unanswered = ask(build(tmp_path, "-DDENIED"))
    for gpu in gpus:
        told = {name for name, value in gpu.items() if value is not None}
        assert told == {"index", "name"}
        silent = set(gpu) - told - {"mig", "mig_profiles", "sm_count", "device"}
        words = {unanswered[f"gpus.{gpu['index']}.{name}"] for name in silent}
        assert words == {"Insufficient Permissions"}


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_a_driver_that_lists_no_gpu_is_a_reason(tmp_path):
    gpus, driver, _, unanswered = ask(build(tmp_path, "-DNONE"))
    assert (gpus, driver) == ([], "535.183.01")
    assert unanswered["gpus"] == "NVML lists no GPU"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_slices_of_a_card_are_named_by_their_profile(tmp_path):
    gpus, _, _, _ = ask(build(tmp_path, "-DMIG"))
    assert gpus[0]["mig"] is True
    assert gpus[0]["mig_profiles"] == ["1g.5gb", "2g.10gb"]
    assert (gpus[1]["mig"], gpus[1]["mig_profiles"]) == (None, None)


def test_gpus_that_only_torch_sees_are_described_by_torch():
    facts = TorchGpu(
        device="cuda:0",
        uuid="some",
        name="Orin",
        compute_capability="8.7",
        sm_count=16,
        memory_bytes=2**35,
    )
    answer = nvml.without_nvml((facts,), {})
    (gpu,) = answer.gpus
    assert (gpu.name, gpu.compute_capability, gpu.sm_count) == ("Orin", "8.7", 16)
    assert gpu.ecc is None


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_torch_fills_in_what_nvml_does_not_tell(tmp_path):
    code = ASK.replace("probe_gpus((), ", "probe_gpus(TORCH, ").replace(
        "import json\n",
        "import json\nfrom qprobe.probe.torch_facts import TorchGpu\n"
        "TORCH = (TorchGpu(device='cuda:0', uuid='beef', name='x', compute_capability='7.5', sm_count=22,"
        " memory_bytes=1),)\n",
    )
    gpus, _, _, unanswered = ask(build(tmp_path), code)
    assert [gpu["sm_count"] for gpu in gpus] == [None, 22]
    assert [gpu["device"] for gpu in gpus] == [None, "cuda:0"]
    assert "gpus.1.sm_count" not in unanswered
    assert "beef" not in str(gpus)  # the identifier is not kept


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_the_state_of_a_gpu_and_why_its_clocks_are_held_down(tmp_path):
    volta, turing, absent, by_index = ask(build(tmp_path), STATE)
    assert volta == {
        "sm_clock_hz": 1.38e9,
        "memory_clock_hz": 1.38e9,
        "temperature_c": 61,
        "power_w": 251.5,
        "throttled": ["software power cap", "software thermal slowdown"],
        "other_processes": 0,
    }
    assert (turing["sm_clock_hz"], turing["power_w"], turing["throttled"]) == (None, None, [])
    assert absent is None
    assert by_index == volta


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_a_gpu_that_is_lost_has_no_state(tmp_path):
    assert ask(build(tmp_path, "-DGONE"), STATE)[3] is None


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize("options", [("-DMISMATCH",), None], ids=["mismatch", "no library"])
def test_without_nvml_there_is_no_state(tmp_path, options):
    if options is None and shutil.which("nvidia-smi"):
        pytest.skip("an NVIDIA driver is installed here")
    folder = tmp_path if options is None else build(tmp_path, *options)
    assert ask(folder, STATE) == [None] * 4


@pytest.mark.parametrize(
    ("pids", "others"),
    [([], 0), ([os.getpid()], 0), ([os.getpid(), 7], 1), ([7], 0), ([7, 8], 1)],
)
def test_this_process_is_not_another(pids, others):
    """Within a container it may be listed under the number that it has outside."""
    assert state._count_others(pids) == others


def test_a_process_that_does_not_compute_counts_all_the_others():
    assert state._count_others([7], is_ours=False) == 1
    assert state._count_others([os.getpid(), 7], is_ours=False) == 1
