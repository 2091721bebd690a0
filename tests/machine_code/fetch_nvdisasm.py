"""Takes nvdisasm of CUDA 12.8, which reads code for Pascal and Volta, out of Triton's wheel: it is in no package of its own.

    python -m tests.machine_code.fetch_nvdisasm

The wheel is not installed: it would stand in the way of the one that torch brings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.machine_code.disassembly import FETCHED

WHEEL = "triton==3.6.0"
MEMBER = "triton/backends/nvidia/bin/nvdisasm"
PYTHON = "3.12"
"""Any that has a wheel: nothing of it is imported."""


def fetch(target: Path) -> None:
    """Download the wheel and keep the one file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
        kind = ["--only-binary=:all:", "--python-version", PYTHON]
        machine = os.uname().machine
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (27, 28)]
        subprocess.run([*pip, *kind, *platforms, WHEEL], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            made = Path(archive.extract(MEMBER, folder))
        made.chmod(0o755)
        os.replace(made, target)


if __name__ == "__main__":
    fetch(FETCHED)
