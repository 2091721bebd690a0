"""ggml's figures as published of another run: quoted, not measured here.

2 cores of a Xeon with AVX512-VNNI and AMX, ggml of llama.cpp as of 2026-11, two threads, weight
copies rotated, random data; the fp32 and bf16 `F.linear` of torch 2.13.0 of the same run beside
them. Differences below 10 to 15 % mean nothing there. Only their ratios carry over to here.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = (
    "published on another run (2 cores of a Xeon with AVX512-VNNI and AMX, ggml of llama.cpp, "
    "2026-11), not measured here"
)

LEAD = (
    "it quantizes x in blocks of 32 and multiplies integers, with weights and scales of a block side "
    "by side; what is bundled for 4 bits keeps x in 16 bits"
)


@dataclass(frozen=True)
class Published:
    """Milliseconds of the fastest ggml backend for a type, and of F.linear in that run."""

    label: str
    bits: int
    k: int
    n: int
    m: int
    ms: float
    fp32_ms: float
    bf16_ms: float


_FLOAT = {  # (K, N, M) → fp32, bf16
    (4096, 4096, 1): (2.371, 1.569),
    (4096, 4096, 8): (7.208, 1.623),
    (4096, 4096, 32): (8.312, 1.867),
    (4096, 4096, 128): (17.167, 4.054),
    (4096, 4096, 512): (56.369, 10.526),
    (4096, 14336, 1): (7.990, 5.376),
    (2048, 2048, 1): (0.599, 0.446),
    (2048, 2048, 8): (1.550, 0.465),
}

PUBLISHED = tuple(
    Published(label, bits, k, n, m, ms, *_FLOAT[k, n, m])
    for label, bits, k, n, m, ms in (
        ("q4_0 AMX", 4, 4096, 4096, 1, 0.369),
        ("q4_0 AMX", 4, 4096, 4096, 8, 0.832),
        ("q4_K AMX", 4, 4096, 4096, 32, 2.055),
        ("q4_K AMX", 4, 4096, 4096, 128, 8.121),
        ("q4_K AMX", 4, 4096, 4096, 512, 30.581),
        ("q8_0 AMX", 8, 4096, 4096, 1, 0.668),
        ("q8_0 AMX", 8, 4096, 4096, 8, 1.180),
        ("q8_0 AMX", 8, 4096, 4096, 32, 2.310),
        ("q8_0 AMX", 8, 4096, 4096, 128, 8.905),
        ("q8_0 AMX", 8, 4096, 4096, 512, 34.712),
        ("q4_0 AMX", 4, 4096, 14336, 1, 1.315),
        ("q8_0 AMX", 8, 4096, 14336, 1, 2.337),
        ("q4_0 AMX", 4, 2048, 2048, 1, 0.046),
        ("q8_0 AMX", 8, 2048, 2048, 1, 0.099),
        ("q4_0 AMX", 4, 2048, 2048, 8, 0.193),
    )
)
