"""GPUs as a stand-in for NVML's own library describes them, and machines where it is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qprobe.probe import nvml

ASK = """
import json
from qprobe.probe.nvml import probe_gpus
unanswered = {}
answer = probe_gpus(False, unanswered)
print(json.dumps([[gpu.model_dump() for gpu in answer.gpus], answer.driver, answer.cuda_driver,
                  unanswered]))
"""
STATE = """
import json
from qprobe.probe.nvml import read_state
states = [read_state(uuid) for uuid in ("100", "GPU-1660", "no-such")]
print(json.dumps([None if state is None else state.model_dump() for state in states]))
"""
COMPILER = shutil.which("cc") or shutil.which("gcc")


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
    }


def test_driver_versions(answer):
    assert answer[1:3] == ["535.183.01", "12.2"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("gpus.0.mig", "Function Not Found"),
        ("gpus.1.ecc", "Not Supported"),
        ("gpus.1.power_limit_w", "Insufficient Permissions"),
        ("gpus.1.sm_clock_hz", "NVML answered 0"),
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


def test_gpus_that_only_torch_sees_are_described_by_torch():
    facts = SimpleNamespace(
        name="Orin", major=8, minor=7, multi_processor_count=16, total_memory=2**35
    )
    answer = nvml._without_nvml({"some-uuid": facts}, {})
    (gpu,) = answer.gpus
    assert (gpu.name, gpu.compute_capability, gpu.sm_count) == ("Orin", "8.7", 16)
    assert gpu.ecc is None


def plant_card(root, slot, vendor, kind, device):
    folder = root / "sys/bus/pci/devices" / slot
    folder.mkdir(parents=True)
    for name, text in (("vendor", vendor), ("class", kind), ("device", device)):
        (folder / name).write_text(f"{text}\n")


def test_cards_without_a_driver_are_found_on_the_pci_bus(tmp_path):
    plant_card(tmp_path, "0000:00:1e.0", "0x10de", "0x030200", "0x1db1")
    plant_card(tmp_path, "0000:00:1e.1", "0x10de", "0x040300", "0x10f0")  # its sound
    plant_card(tmp_path, "0000:00:1f.0", "0x1002", "0x030000", "0x744c")  # another vendor
    (tmp_path / "sys/bus/pci/devices/0000:00:20.0").mkdir()
    assert nvml.list_pci_gpus(tmp_path) == ("10de:1db1",)


def test_no_pci_bus_at_all(tmp_path):
    assert nvml.list_pci_gpus(tmp_path) == ()


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_the_state_of_a_gpu_and_why_its_clocks_are_held_down(tmp_path):
    volta, turing, absent = ask(build(tmp_path), STATE)
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


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize("options", [("-DMISMATCH",), None], ids=["mismatch", "no library"])
def test_without_nvml_there_is_no_state(tmp_path, options):
    if options is None and shutil.which("nvidia-smi"):
        pytest.skip("an NVIDIA driver is installed here")
    folder = tmp_path if options is None else build(tmp_path, *options)
    assert ask(folder, STATE) == [None, None, None]


@pytest.mark.parametrize(
    ("pids", "others"),
    [([], 0), ([os.getpid()], 0), ([os.getpid(), 7], 1), ([7], 0), ([7, 8], 1)],
)
def test_this_process_is_not_another(pids, others):
    """Within a container it may be listed under the number that it has outside."""
    assert nvml._count_others(pids) == others
