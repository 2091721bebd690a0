"""Versions without imports, the compiler of torch.compile, and the variables that matter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import qprobe
from qprobe.probe import software


def test_versions_are_those_of_the_metadata():
    found = software.installed_packages()
    assert found["torch"].startswith("2.")
    assert list(found) == [name for name in software.DISTRIBUTIONS if name in found]


def test_asking_for_versions_imports_none_of_them():
    code = (
        "import sys; from qprobe.probe.software import installed_packages as ask; ask();"
        "names = ('torch', 'transformers', 'peft', 'bitsandbytes', 'cupy', 'pynvml', 'scipy');"
        "sys.exit(str([n for n in names if n in sys.modules] or 0) if "
        "any(n in sys.modules for n in names) else 0)"
    )
    folder = Path(qprobe.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_environment_keeps_only_what_changes_the_kernels():
    environment = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "2", "TOKEN": "secret", "HOME": "/x",
                   "BNB_CUDA_VERSION": "124"}  # fmt: skip
    assert software.kernel_environment(environment) == {
        "BNB_CUDA_VERSION": "124",
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "2",
    }


def test_bytes_that_are_no_text_are_recorded_escaped():
    found = software.kernel_environment({"MKL_X": "caf\udce9", "MKL_\udcff": "1"})
    assert found == {"MKL_X": "caf\\udce9", "MKL_\\udcff": "1"}


def test_a_distribution_without_a_version_is_still_installed(tmp_path, monkeypatch):
    (tmp_path / "cupy_cuda11x-13.6.0.dist-info").mkdir()
    (tmp_path / "cupy_cuda11x-13.6.0.dist-info/METADATA").write_text("Name: cupy-cuda11x\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert software.installed_packages()["cupy-cuda11x"] == "unknown"


def test_what_torch_and_nvml_said_is_passed_on():
    found = software.probe_software(None, "580.95.05", "13.0")
    assert (found.torch, found.driver, found.cuda_driver) == (None, "580.95.05", "13.0")
