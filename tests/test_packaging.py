"""The wheel holds what a user needs and nothing else, and the kernel sources are found everywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qprobe._version import __version__
from qprobe.errors import UnavailableError
from qprobe.kernels.sources import find_sources, hash_sources

ROOT = Path(__file__).parent.parent


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built offline from a copy: building must leave nothing in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "qprobe", "kernels", "tests"):
        place = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        place(ROOT / name, copy / name)
    pip = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "-w", folder, copy, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("site")
    run(
        "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", folder, wheel,
        cwd=folder,
    )  # fmt: skip
    return folder


def test_the_wheel_is_pure_and_of_this_version(wheel):
    assert wheel.name == f"qprobe-{__version__}-py3-none-any.whl"


def test_the_wheel_holds_the_package_and_the_kernels_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "qprobe").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    kernels = {
        f"qprobe/_kernels/{path.relative_to(ROOT / 'kernels').as_posix()}"
        for path in (ROOT / "kernels").rglob("*")
        if path.is_file()
    }
    kept = {name for name in names if ".dist-info/" not in name}
    assert kept == package | kernels
    assert {"qprobe/py.typed", "qprobe/documents/schemas/plan.json"} <= kept
    assert any(name.endswith(".txt") for name in kept), "the calibration text"


def test_an_installed_package_finds_the_kernels_that_came_with_it(installed):
    (installed / "kernels").mkdir()  # another distribution of that name
    code = "from qprobe.kernels.sources import find_sources; print(find_sources())"
    assert run("-c", code, cwd=installed) == str(installed / "qprobe" / "_kernels")


def test_a_checkout_finds_its_own_kernels():
    assert find_sources() == ROOT / "kernels"


def checkout(folder: Path) -> Path:
    """A package folder in a checkout that also has the copy of an editable install."""
    package = folder / "qprobe"
    for made in (folder / "kernels", package / "_kernels", package / "layers"):
        made.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return package


def test_the_checkout_comes_before_a_stale_copy(tmp_path):
    assert find_sources(checkout(tmp_path)) == tmp_path / "kernels"


def test_another_distribution_named_kernels_is_not_ours(tmp_path):
    package = checkout(tmp_path)
    (tmp_path / "kernels" / "__init__.py").touch()
    assert find_sources(package) == package / "_kernels"


def test_missing_sources_are_told(tmp_path):
    with pytest.raises(UnavailableError, match="no kernel sources for ") as caught:
        find_sources(tmp_path / "qprobe")
    assert caught.value.hint == "reinstall qprobe"


@pytest.mark.parametrize("source", ["kernels/gemm.cu", "kernels/prims.cuh", "qprobe/layers/a.py"])
def test_the_hash_follows_every_source(tmp_path, source):
    package = checkout(tmp_path)
    (tmp_path / source).write_text("one")
    before = hash_sources(package)
    (tmp_path / source).write_text("two")
    assert hash_sources(package) != before


def test_the_hash_is_the_same_in_a_checkout_and_installed(tmp_path):
    package = checkout(tmp_path)
    (tmp_path / "kernels" / "gemm.cu").write_text("one")
    (package / "_kernels" / "gemm.cu").write_text("one")
    before = hash_sources(package)
    (tmp_path / "pyproject.toml").unlink()
    assert find_sources(package) == package / "_kernels"
    assert hash_sources(package) == before


def test_the_hash_ignores_what_is_not_source(tmp_path):
    package = checkout(tmp_path)
    before = hash_sources(package)
    (tmp_path / "kernels" / "README.md").write_text("words")
    assert hash_sources(package) == before
