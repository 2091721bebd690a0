"""Do environment variables hold the kernels back?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

OFF = ("", "0", "false", "False")
UNLIMITED = ("", "ALL", "DEFAULT")

# variable → (values that do no harm, what every other value does)
HARM: dict[str, tuple[tuple[str, ...], str]] = {
    "ONEDNN_MAX_CPU_ISA": (UNLIMITED, "keeps oneDNN from newer instructions"),
    "DNNL_MAX_CPU_ISA": (UNLIMITED, "keeps oneDNN from newer instructions"),
    "ATEN_CPU_CAPABILITY": (("",), "keeps torch's own kernels from newer instructions"),
    "MKL_ENABLE_INSTRUCTIONS": (("",), "keeps MKL from newer instructions"),
    "MKL_CBWR": (("", "AUTO"), "keeps MKL to reproducible, slower code"),
    "ONEDNN_DEFAULT_FPMATH_MODE": (
        ("", "STRICT"),
        "lets oneDNN round fp32 products: the unquantized model is no fp32 reference",
    ),
    "TORCHDYNAMO_DISABLE": (OFF, "turns torch.compile off"),
    "TORCH_COMPILE_DISABLE": (OFF, "turns torch.compile off"),
    "CUDA_LAUNCH_BLOCKING": (OFF, "makes the host wait for every GPU kernel"),
}


def check_environment(machine: Machine) -> Finding:
    """List the variables that are set to a value that costs speed or precision."""
    found = {
        name: value
        for name, value in machine.software.environment.items()
        if name in HARM and value not in HARM[name][0] and value.upper() not in HARM[name][0]
    }
    if not found:
        return CHECK.ok("no variable holds the kernels back")
    first, *others = found
    more = f" and {len(others)} more" if others else ""
    return CHECK.warn(
        f"{first} is set{more}",
        " ".join(f"{name}={value} {HARM[name][1]}." for name, value in found.items()),
        Fix(
            text="Unset what is not meant; measurements hold only for the same setting.",
            commands=(f"unset {' '.join(found)}",),
        ),
    )


CHECK = Check(
    id="environment",
    title="Environment",
    why="a forgotten variable can halve the speed of every kernel",
    needs=(),
    run=check_environment,
)
