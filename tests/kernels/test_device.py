"""What identifies a device, from a planted /proc/cpuinfo and from this machine."""

from __future__ import annotations

import pytest
import torch

from qprobe.errors import InputError
from qprobe.kernels import device, gpus

GIB = 2**30
X86 = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 {}\n\nprocessor\t: 1\n"
ALL_X86 = (
    "avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16 avx512_fp16 avx_vnni "
    "amx_tile amx_int8 amx_bf16"
)


def test_fingerprint_of_this_cpu_is_stable():
    first = device.fingerprint("cpu")
    assert first == device.fingerprint("cpu")
    assert first.slug.startswith("cpu-")
    assert first.memory_bytes % GIB == 0
    assert first.software["torch"] == torch.__version__


def test_fingerprint_knows_the_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert device.fingerprint("cpu").software["threads"] == str(threads + 1)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
@pytest.mark.skipif(not device.cuda_count(), reason="no NVIDIA GPU")
def test_fingerprint_of_a_gpu_names_its_architecture():
    found = device.fingerprint("cuda:0")
    assert found.kind == "cuda"
    assert found.features[0].startswith("sm_")


@pytest.mark.parametrize(
    ("total", "whole"),
    [(1, 1), (GIB, 1), (GIB + 1, 2), (25276510208, 24), (17059545088, 16)],
)
def test_memory_is_rounded_up_so_that_a_reboot_does_not_change_it(total, whole):
    assert device._whole_gib(total) == whole * GIB


@pytest.mark.parametrize(
    ("name", "features", "slug"),
    [
        ("AMD EPYC", ("avx2", "fma"), "cpu-amd-epyc-avx2-2c"),
        ("Intel(R) Xeon(R) Processor @ 2.70GHz", ("amx_int8", "avx2"), "cpu-intel-xeon-amx-2c"),
        ("AMD EPYC 7763 64-Core Processor", ("avx2",), "cpu-amd-epyc-7763-avx2-2c"),
        ("12th Gen Intel(R) Core(TM) i7-1265U", ("avx2",), "cpu-intel-core-i7-1265u-avx2-2c"),
        ("AMD Ryzen 9 7940HS w/ Radeon 780M Graphics", (), "cpu-amd-ryzen-9-7940hs-2c"),
        ("Neoverse-V1", ("i8mm", "neon", "sve"), "cpu-neoverse-v1-i8mm-2c"),
        ("型号", (), "cpu-2c"),
    ],
)
def test_cpu_slug(name, features, slug):
    assert device.cpu_slug(name, features, 2) == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Tesla V100-SXM2-16GB", "v100-sxm2-16gb"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("NVIDIA GeForce GTX 1660", "gtx-1660"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "a100-sxm4-40gb-mig-1g.5gb"),
        ("NVIDIA", "gpu"),
    ],
)
def test_gpu_slug_has_no_vendor_word(name, slug):
    assert device.gpu_slug(name) == slug


def test_default_device_is_one_that_exists():
    assert device.parse_device(device.default_device()) == device.default_device()


@pytest.mark.parametrize(
    "text", ["tpu", "", "CPU", "cuda:", "cuda:-1", "cuda:٣", "cuda:1e3", "cuda:" + "9" * 5000]
)
def test_device_that_is_no_device_is_refused(text):
    with pytest.raises(InputError, match="neither cpu nor cuda:N") as caught:
        device.parse_device(text)
    assert caught.value.hint.startswith("on this machine: cpu")
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("text", ["cuda", "cuda:0", "cuda:7"])
def test_gpu_that_is_not_there_is_refused_with_what_torch_finds(text, monkeypatch):
    monkeypatch.setattr(device, "cuda_count", lambda: 0)
    with pytest.raises(InputError, match="finds 0 NVIDIA GPUs") as caught:
        device.parse_device(text)
    assert caught.value.hint == "on this machine: cpu"


def test_gpus_that_torch_counts_and_cannot_use_are_not_there(monkeypatch):
    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old\n(found version 11040).")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    monkeypatch.setattr(device, "cuda_fault", device.cuda_fault.__wrapped__)
    monkeypatch.setattr(gpus, "cuda_fault", device.cuda_fault)
    words = "The NVIDIA driver on your system is too old (found version 11040)."
    assert (device.cuda_listed(), device.cuda_count(), device.default_device()) == (1, 0, "cpu")
    with pytest.raises(InputError, match="finds 0 NVIDIA GPUs: The NVIDIA driver"):
        device.parse_device("cuda:0")
    assert gpus.no_gpu.__wrapped__() == f"torch {torch.__version__} cannot use the GPUs: {words}"


def test_cuda_means_the_first_gpu(monkeypatch):
    monkeypatch.setattr(device, "cuda_count", lambda: 2)
    assert device.parse_device("cuda") == "cuda:0"
    assert device.parse_device("cuda:1") == "cuda:1"


def test_x86_features_are_read_from_the_first_processor(plant):
    root = plant({"proc/cpuinfo": X86.format("avx2 fma avx512_vnni mmx")})
    assert device.cpu_features(root, {}) == ("avx2", "avx512_vnni", "fma")
    assert device.cpu_model(root) == "Some CPU"


def test_arm_features_have_names_of_their_own(plant):
    root = plant({"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp sve bf16 i8mm\n"})
    assert device.cpu_features(root, {}) == ("bf16", "dotprod", "i8mm", "neon", "sve")


def test_torch_answers_where_there_is_no_proc(tmp_path, monkeypatch):
    told = {"avx512_f": True, "fma3": True, "avx2": True, "amx_int8": False, "cpu_name": "Told"}
    monkeypatch.setattr(device, "_torch_capabilities", lambda: told)
    assert device.cpu_features(tmp_path, {}) == ("avx2", "avx512f", "fma")
    assert device.cpu_model(tmp_path) == "Told"


@pytest.mark.parametrize(
    ("limit", "has", "lacks"),
    [
        ("SSE41", "", "avx2 fma"),
        ("AVX2", "avx2 fma f16c", "avx_vnni avx512f amx_int8"),
        ("avx2_vnni", "avx2 avx_vnni", "avx512f"),
        ("AVX512_CORE", "avx2 avx512f avx512bw", "avx512_vnni amx_tile"),
        ("AVX512_CORE_VNNI", "avx512_vnni", "avx512_bf16 amx_int8"),
        ("AVX512_CORE_BF16", "avx512_bf16", "amx_bf16 avx512_fp16"),
        ("AVX512_CORE_AMX", "amx_int8 amx_bf16", ""),
        ("DEFAULT", "amx_int8", ""),
        ("nonsense", "amx_int8", ""),
        ("", "amx_int8", ""),
    ],
)
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_onednn_limit_drops_what_it_will_not_use(plant, variable, limit, has, lacks):
    root = plant({"proc/cpuinfo": X86.format(ALL_X86)})
    found = set(device.cpu_features(root, {variable: limit}))
    assert set(has.split()) <= found
    assert not set(lacks.split()) & found


def test_onednn_limit_leaves_arm_alone(plant):
    root = plant({"proc/cpuinfo": "Features\t: asimd i8mm\n"})
    assert device.cpu_features(root, {"ONEDNN_MAX_CPU_ISA": "AVX2"}) == ("i8mm", "neon")


def test_speed_environment_takes_what_limits_instructions():
    environment = {"MKL_CBWR": "AVX", "ONEDNN_MAX_CPU_ISA": "AVX2", "HOME": "/home", "PATH": "x",
                   "MKLROOT": "/opt", "MKL_VERBOSE_OUTPUT_FILE": "/home/joe/mkl.log"}  # fmt: skip
    assert list(device.speed_environment(environment)) == ["MKL_CBWR", "ONEDNN_MAX_CPU_ISA"]


def test_speed_environment_escapes_bytes_that_are_no_text():
    assert device.speed_environment({"MKL_CBWR": "\udcff"}) == {"MKL_CBWR": "\\udcff"}
