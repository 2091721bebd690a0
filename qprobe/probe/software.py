"""Reads which software is installed, from package metadata: nothing is imported."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata

from qprobe.documents.base import escape_bytes
from qprobe.documents.machine import Software, TorchBuild

DISTRIBUTIONS = (
    "torch", "torchvision", "triton", "numpy", "scipy", "safetensors", "transformers", "peft",
    "accelerate", "huggingface-hub", "compressed-tensors", "bitsandbytes", "torchao",
    "optimum-quanto", "hqq", "gemlite", "eetq", "gptqmodel", "auto-gptq", "autoawq", "auto-round", "llmcompressor",
    "nvidia-modelopt", "neural-compressor", "nncf", "vllm", "onnxruntime", "onnxruntime-gpu",
    "openvino", "intel-extension-for-pytorch", "cupy", "cupy-cuda102", "cupy-cuda110",
    "cupy-cuda111", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-rocm-5-0", "cupy-rocm-7-0",
    "nvidia-ml-py", "pynvml", "nvidia-cuda-nvrtc-cu11", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc",
    "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime",
)  # fmt: skip
"""What matters to quantization, or to running it."""

ENVIRONMENT = (
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_AFFINITY", "KMP_BLOCKTIME", "GOMP_CPU_AFFINITY",
    "TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING", "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "BNB_CUDA_VERSION",
)  # fmt: skip
"""Variables that change what the kernels do; besides them, all that start with MKL_."""


def probe_software(
    torch: TorchBuild | None, driver: str | None, cuda_driver: str | None
) -> Software:
    """Versions and the variables that matter, beside what torch and NVML said."""
    return Software(
        os=_operating_system(),
        python=platform.python_version(),
        packages=installed_packages(),
        torch=torch,
        driver=driver,
        cuda_driver=cuda_driver,
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
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        except KeyError:  # a package that was removed by half
            version = ""
        found[name] = version or "unknown"
    return found


def kernel_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that change what the kernels do, where set."""
    return {
        escape_bytes(name): escape_bytes(value)
        for name, value in sorted(environment.items())
        if name in ENVIRONMENT or name.startswith("MKL_")
    }
