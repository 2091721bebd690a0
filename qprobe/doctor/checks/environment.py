"""Do environment variables hold the kernels back?"""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

OFF = ("", "0", "false", "False")
UNLIMITED = ("", "ALL", "DEFAULT")
_ONEDNN_ISA = "https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html"
_ONEDNN_MATH = "https://uxlfoundation.github.io/oneDNN/dev_guide_attributes_fpmath_mode.html"
_ATEN = "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/DispatchStub.cpp"
_MKL_ISA = (
    "https://www.intel.com/content/www/us/en/docs/onemkl/developer-reference-c/2026-0/"
    "mkl-enable-instructions.html"
)
_MKL_CBWR = (
    "https://www.intel.com/content/www/us/en/docs/onemkl/developer-guide-linux/2025-1/"
    "set-env-var-for-cond-numerical-reproducibility.html"
)
_DYNAMO = "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/_dynamo"
_CUDA = (
    "https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables"
)


@dataclass(frozen=True)
class Harm:
    """What a variable does where it is set to anything but a harmless value."""

    harmless: tuple[str, ...]
    does: str
    source: str
    """Where one can read it up."""


HARM: dict[str, Harm] = {
    "ONEDNN_MAX_CPU_ISA": Harm(UNLIMITED, "keeps oneDNN from newer instructions", _ONEDNN_ISA),
    "DNNL_MAX_CPU_ISA": Harm(UNLIMITED, "keeps oneDNN from newer instructions", _ONEDNN_ISA),
    "ATEN_CPU_CAPABILITY": Harm(("",), "keeps torch's own kernels from newer instructions", _ATEN),
    "MKL_ENABLE_INSTRUCTIONS": Harm(("",), "keeps MKL from newer instructions", _MKL_ISA),
    "MKL_CBWR": Harm(("", "AUTO"), "keeps MKL to reproducible, slower code", _MKL_CBWR),
    "ONEDNN_DEFAULT_FPMATH_MODE": Harm(
        ("", "STRICT"),
        "lets oneDNN round fp32 products: the unquantized model is no fp32 reference",
        _ONEDNN_MATH,
    ),
    "TORCHDYNAMO_DISABLE": Harm(OFF, "turns torch.compile off", f"{_DYNAMO}/eval_frame.py"),
    "TORCH_COMPILE_DISABLE": Harm(OFF, "turns torch.compile off", f"{_DYNAMO}/config.py"),
    "CUDA_LAUNCH_BLOCKING": Harm(OFF, "makes the host wait for every GPU kernel", _CUDA),
}


def check_environment(machine: Machine) -> Finding:
    """List the variables that are set to a value that costs speed or precision."""
    found = {
        name: value
        for name, value in machine.software.environment.items()
        if name in HARM and not {value, value.upper()}.intersection(HARM[name].harmless)
    }
    if not found:
        return CHECK.ok("no variable holds the kernels back")
    first, *others = found
    more = f" and {len(others)} more" if others else ""
    return CHECK.warn(
        f"{first} is set{more}",
        " ".join(f"{name}={value} {HARM[name].does}." for name, value in found.items()),
        Fix(
            text="Unset what is not meant; measurements hold only for the same setting.",
            commands=(f"unset {' '.join(found)}",),
            link=HARM[first].source,
        ),
    )


CHECK = Check(
    id="environment",
    title="Environment",
    why="a forgotten variable can halve the speed of every kernel",
    needs=(),
    asks=(),
    run=check_environment,
)
