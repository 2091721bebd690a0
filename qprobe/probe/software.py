"""Reads which software is installed, from package metadata: only torch is imported, to ask its build."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from qprobe.documents.machine import Software, TorchBuild

DISTRIBUTIONS = (
    "torch", "torchvision", "triton", "numpy", "scipy", "safetensors", "transformers", "peft",
    "accelerate", "huggingface-hub", "compressed-tensors", "bitsandbytes", "torchao",
    "optimum-quanto", "hqq", "gptqmodel", "auto-gptq", "autoawq", "auto-round", "llmcompressor",
    "nvidia-modelopt", "neural-compressor", "nncf", "vllm", "onnxruntime", "onnxruntime-gpu",
    "openvino", "intel-extension-for-pytorch", "cupy", "cupy-cuda11x", "cupy-cuda12x",
    "cupy-cuda13x", "nvidia-ml-py", "pynvml", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc",
    "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime",
)  # fmt: skip
"""What matters to quantization, or to running it."""

ENVIRONMENT = (
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_AFFINITY", "KMP_BLOCKTIME", "GOMP_CPU_AFFINITY",
    "TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING", "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
)  # fmt: skip
"""Variables that change what the kernels do; besides them, all that start with MKL_."""


def probe_software(unanswered: dict[str, str]) -> Software:
    """Versions, the build of torch, and the variables that matter; the driver is left to NVML."""
    return Software(
        os=_operating_system(),
        python=platform.python_version(),
        packages=installed_packages(),
        torch=_probe_torch(unanswered),
        driver=None,
        cuda_driver=None,
        environment=kernel_environment(os.environ),
    )


def _operating_system() -> str:
    words = [platform.system(), platform.release(), platform.machine()]
    with suppress(OSError, KeyError):  # not a Linux, or one without an os-release
        words.insert(0, platform.freedesktop_os_release()["PRETTY_NAME"] + ",")
    return " ".join(word for word in words if word)


def installed_packages() -> dict[str, str]:
    """Distribution → version, of those in `DISTRIBUTIONS` that are installed."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def kernel_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that change what the kernels do, where set."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name in ENVIRONMENT or name.startswith("MKL_")
    }


def _probe_torch(unanswered: dict[str, str]) -> TorchBuild | None:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library does not load
        unanswered["software.torch"] = f"import torch: {error}"
        return None
    return TorchBuild(
        version=torch.__version__,
        cuda=torch.version.cuda,
        hip=torch.version.hip,
        arch_list=_arch_list(),
        threads=torch.get_num_threads(),
        onednn=torch.backends.mkldnn.is_available(),
        cxx_compiler=find_cxx_compiler(os.environ, unanswered),
    )


def _arch_list() -> tuple[str, ...]:
    """What torch was built for; `torch.cuda.get_arch_list` tells nothing where no GPU is."""
    import torch

    flags = getattr(torch._C, "_cuda_getArchFlags", None)
    return tuple((flags() or "").split()) if flags else ()


def find_cxx_compiler(environment: Mapping[str, str], unanswered: dict[str, str]) -> str | None:
    """The C++ compiler that `torch.compile` would run, if it and Python's headers are there."""
    # As in torch/_inductor/config.py: it tries no other than this one.
    name = environment.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    compiler = shutil.which(name, path=environment.get("PATH"))
    if compiler is None:
        unanswered["software.torch.cxx_compiler"] = f"{name} is not on the PATH"
    elif not Path(sysconfig.get_path("include"), "Python.h").is_file():
        unanswered["software.torch.cxx_compiler"] = f"{name} is there, Python.h is not"
        compiler = None
    return compiler
