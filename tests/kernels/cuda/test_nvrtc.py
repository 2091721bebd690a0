"""The compiler is found by path and chosen for the card; what cannot be built is said, and what to install."""

import shutil
import sys
from pathlib import Path

import pytest

from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import nvrtc, nvrtc_places
from qprobe.kernels.cuda.nvrtc import (
    Compiler,
    choose_compiler,
    compile_source,
    describe_compilers,
    find_compilers,
)

KERNEL = 'extern "C" __global__ void k(int* p) { p[0] = QP_ONE; }'


def fake(version, *architectures):
    return Compiler(Path(f"libnvrtc.so.{version[0]}"), "wheel", version, architectures)


OLD = fake((11, 8), "6.1", "7.0", "7.5", "8.0", "8.6", "9.0")
UNIVERSAL = fake((12, 9), "6.1", "7.0", "7.5", "8.0", "8.6", "9.0", "10.0", "12.0")
NEW = fake((13, 5), "7.5", "8.0", "8.6", "9.0", "10.0", "11.0", "12.0")


@pytest.mark.parametrize(
    ("capability", "features", "driver", "version", "target"),
    [
        ("8.6", (), None, (13, 5), "8.6"),
        ("7.0", (), None, (12, 9), "7.0"),
        ("8.6", (), (12, 4), (12, 9), "8.6"),
        ("8.6", (), (11, 8), (11, 8), "8.6"),
        ("9.0", ("wgmma",), None, (13, 5), "9.0a"),
        ("9.0", ("wgmma",), (12, 0), (12, 9), "9.0a"),
        ("8.9", (), None, (13, 5), "8.6"),  # not known to these, but code for 8.6 runs on it
        ("12.1", (), None, (13, 5), "12.0"),
        ("11.0", (), (13, 0), (13, 5), "11.0"),
    ],
)
def test_the_newest_compiler_that_can_is_taken(capability, features, driver, version, target):
    choice = choose_compiler(capability, features, driver, (OLD, NEW, UNIVERSAL))
    assert (choice.compiler.version, choice.target) == (version, target)


def test_a_compiler_that_knows_the_card_comes_before_a_newer_one_that_does_not():
    older = fake((13, 0), "8.0", "8.9")
    assert choose_compiler("8.9", (), None, (NEW, older)).target == "8.9"


@pytest.mark.parametrize(
    ("capability", "features", "driver", "among", "words", "command"),
    [
        ("9.0", ("wgmma",), None, (OLD,), "no NVRTC here can build for 9.0a", "nvrtc-cu12==12.9.86"),
        ("7.0", (), None, (NEW,), "NVRTC 13.5 builds for 7.5 to 12.0", "nvrtc-cu12==12.9.86"),
        ("8.0", (), (12, 2), (NEW,), "for 8.0 and a driver of CUDA 12", "nvrtc-cu12==12.9.86"),
        ("11.0", (), None, (UNIVERSAL,), "no NVRTC here can build for 11.0", "--upgrade nvidia-cuda-nvrtc"),
        ("15.0", (), None, (NEW,), "no NVRTC here can build for 15.0", "--upgrade nvidia-cuda-nvrtc"),
        ("8.0", (), None, (), "no NVRTC, the CUDA compiler, is installed", "nvrtc-cu12==12.9.86"),
        ("8.0", ("wgmma",), None, (NEW,), "8.0 has no wgmma", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said(capability, features, driver, among, words, command):
    with pytest.raises(UnavailableError) as caught:
        choose_compiler(capability, features, driver, among)
    assert words in str(caught.value)
    assert command in caught.value.hint


def test_both_lines_of_compilers_are_installed_and_work_in_one_process():
    majors = {compiler.version[0]: compiler for compiler in find_compilers()}
    assert {12, 13} <= set(majors)
    assert "7.0" in majors[12].architectures
    assert "7.0" not in majors[13].architectures
    for target in ("7.5", "9.0a", "12.0"):
        for compiler in majors.values():
            code, _ = compile_source(compiler, KERNEL, "k.cu", target, ("-DQP_ONE=1",))
            assert code.startswith(b"\x7fELF")


def test_what_is_found_is_plain_data():
    described = describe_compilers()
    assert [set(one) for one in described] == [{"version", "kind", "architectures"}] * len(
        find_compilers()
    )
    assert described[0]["version"].split(".")[0] == "13"


def test_an_error_names_kernel_architecture_compiler_and_reason():
    choice = choose_compiler("8.0")
    with pytest.raises(UnavailableError) as caught:
        compile_source(choice.compiler, KERNEL, "copy.cu", "8.0")
    words = str(caught.value)
    assert words.startswith(f"copy.cu does not compile for sm_80 with {choice.compiler.words}")
    assert 'copy.cu(1): error: identifier "QP_ONE" is undefined' in words


def test_a_target_that_the_compiler_does_not_know_is_an_error_with_its_words():
    compiler = next(c for c in find_compilers() if c.version[0] == 13)
    with pytest.raises(UnavailableError, match="invalid value for --gpu-architecture"):
        compile_source(compiler, KERNEL, "k.cu", "7.0", ("-DQP_ONE=1",))


def test_errors_are_shown_up_to_a_limit():
    source = "\n".join(f"int x{i} = y{i};" for i in range(100))
    with pytest.raises(UnavailableError) as caught:
        compile_source(find_compilers()[0], source, "k.cu", "8.0")
    assert len(str(caught.value).splitlines()) == nvrtc.MESSAGE_LINES


@pytest.fixture
def places(monkeypatch, tmp_path):
    """A machine where only what a test puts into the folder is found."""
    for variable in ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(nvrtc_places, "SYSTEM", (tmp_path / "usr/lib",))
    monkeypatch.setattr(nvrtc_places, "TOOLKITS", tmp_path / "usr/local")
    nvrtc.forget()
    yield tmp_path
    nvrtc.forget()


def put(folder, name, content=b"no library"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return (folder / name).resolve()


def test_libraries_are_found_in_every_place_and_once(places, monkeypatch):
    home, loaded = places / "opt/cuda", places / "loaded"
    monkeypatch.setenv("CUDA_HOME", str(home))
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{loaded}:")
    expected = {
        put(places / "nvidia/cuda_nvrtc/lib", "libnvrtc.so.12"): "wheel",
        put(places / "nvidia/cu13/lib", "libnvrtc.so.13"): "wheel",
        put(places / "torch/lib", "libnvrtc-b51b459d.so.12"): "torch",
        put(places / "usr/local/cuda-12.4/targets/x86_64-linux/lib", "libnvrtc.so.12.4.127"): "toolkit",
        put(home / "lib64", "libnvrtc.so.12.6.77"): "toolkit",
        put(places / "prefix/lib", "libnvrtc.so.12.1"): "toolkit",
        put(places / "usr/lib/x86_64-linux-gnu", "libnvrtc.so.11.8.89"): "system",
        put(loaded, "libnvrtc.so.12.2"): "system",
    }  # fmt: skip
    put(places / "nvidia/cuda_nvrtc/lib", "libnvrtc.alt.so.12")
    put(places / "nvidia/cuda_nvrtc/lib", "libnvrtc-builtins.so.12.9")
    (home / "lib64/libnvrtc.so").symlink_to("libnvrtc.so.12.6.77")
    (home / "lib64/libnvrtc.so.99").symlink_to("nowhere")
    assert nvrtc_places.find_libraries() == expected


def test_a_library_that_cannot_be_loaded_is_passed_over_and_said(places):
    broken = put(places / "nvidia/cu13/lib", "libnvrtc.so.13")
    assert find_compilers() == ()
    assert list(nvrtc.find_broken()) == [broken]
    with pytest.raises(UnavailableError, match=r"libnvrtc\.so\.13 is there, but: .*"):
        choose_compiler("8.0")


def test_a_library_of_another_kind_is_passed_over(places):
    libc = next(Path("/").glob("*lib*/*-linux-gnu/libm.so.6"), None)
    if libc is None:
        pytest.skip("no libm of the system to take for NVRTC")
    folder = places / "nvidia/cu13/lib"
    folder.mkdir(parents=True)
    shutil.copy(libc, folder / "libnvrtc.so.13")
    assert find_compilers() == ()
    assert "nvrtc" in str(nvrtc.find_broken())


def test_folders_that_may_not_be_read_hold_nothing(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", refuse)
    assert nvrtc_places.find_libraries() == {}
