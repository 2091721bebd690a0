"""What does the CPU have for int8 and bf16, and what does that mean for the schemes?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

# The first that the CPU has is the one that its kernels use.
INT8 = {
    "amx_int8": "AMX", "avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "i8mm": "I8MM",
    "dotprod": "DOTPROD",
}  # fmt: skip
BF16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "BF16"}
VECTORS = {"avx512f": "AVX512", "avx2": "AVX2", "sve": "SVE", "neon": "NEON"}


def check_cpu_isa(machine: Machine) -> Finding:
    """Name the instructions; warn where there are none that the fast kernels are written for."""
    features = machine.cpu.features
    vectors = _first(VECTORS, features)
    if vectors is None:
        return CHECK.warn(
            "no AVX2, AVX512, NEON or SVE is usable",
            "The fast CPU kernels of torch need one of them; products take several times longer.",
            Fix(text="Use a newer processor, or lift the limit that the check environment names."),
        )
    int8, bf16 = _first(INT8, features), _first(BF16, features)
    detail = [
        f"W8A8: int8 products by {int8}, exact and fast."
        if int8
        else "W8A8: no int8 dot product instruction; products go through 16-bit sums, and 8-bit "
        "weights must be kept to 7 bits where those clip. The gain over fp32 is small.",
        f"BF16 and W8A16: bf16 products by {bf16}."
        if bf16
        else "BF16 and W8A16: bf16 products are emulated in fp32, which is slower than staying "
        "with fp32; W8A16 saves memory all the same.",
    ]
    return CHECK.ok(f"{vectors}; int8: {int8 or 'none'}, bf16: {bf16 or 'none'}", " ".join(detail))


def _first(names: dict[str, str], features: tuple[str, ...]) -> str | None:
    return next((word for name, word in names.items() if name in features), None)


CHECK = Check(
    id="cpu-isa",
    title="CPU instructions",
    why="they decide which schemes can be faster than the unquantized model",
    needs=(),
    asks=("facts",),
    run=check_cpu_isa,
)
