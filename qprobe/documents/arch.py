"""What each NVIDIA architecture does in hardware, by compute capability; None where nobody has looked.

A compiler's word is not enough: much that compiles is lowered to something slower. And more is not later: 4-bit tensor
cores end at 9.0, fp8 `mma.sync` exists at 8.9 and 12.x but not between, `wgmma` at 9.0 alone, 8-bit
`tcgen05` at 10.0 and 11.0 but not at 10.3. So this is a table, read off machine code, not a minimum capability.
"""

from __future__ import annotations

import re
from typing import Literal

Support = Literal["native", "emulated", "absent"]

CAPABILITIES = ("6.0", "6.1", "7.0", "7.2", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0",
                "10.3", "11.0", "12.0", "12.1")  # fmt: skip

# N: one instruction of its own. e: it compiles, into something else that is slower. -: it does not compile.
_GRID = {
    #                6.0 6.1 7.0 7.2 7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 11.0 12.0 12.1
    "dp4a":           "-   N   N   N   N   N   N   N   N   N   N    N    N    N    N",
    "hmma_884":       "-   -   N   N   N   e   e   e   e   e   e    e    e    e    e",
    "hmma_1688":      "-   -   -   -   N   N   N   N   N   N   N    N    N    N    N",
    "hmma_16816":     "-   -   -   -   -   N   N   N   N   N   N    N    N    N    N",
    "hmma_16816_bf16": "-  -   -   -   -   N   N   N   N   N   N    N    N    N    N",
    "hmma_1688_tf32": "-   -   -   -   -   N   N   N   N   N   N    N    N    N    N",
    "imma_8816":      "-   -   -   -   N   N   N   N   N   N   e    e    e    e    e",
    "imma_16832":     "-   -   -   -   -   N   N   N   N   N   N    N    N    N    N",
    "imma_8832_s4":   "-   -   -   -   N   N   N   N   N   e   e    e    e    e    e",
    "imma_16864_s4":  "-   -   -   -   -   N   N   N   N   e   e    e    e    e    e",
    "qmma_16832_fp8": "-   -   -   -   -   -   -   -   N   e   e    e    e    N    N",
    "qmma_16832_fp4": "-   -   -   -   -   -   -   -   -   -   -    -    -    N    N",
    "omma_16864_fp4": "-   -   -   -   -   -   -   -   -   -   -    -    -    N    N",
    "wgmma":          "-   -   -   -   -   -   -   -   -   N   -    -    -    -    -",
    "tcgen05_f16":    "-   -   -   -   -   -   -   -   -   -   N    N    N    -    -",
    "tcgen05_i8":     "-   -   -   -   -   -   -   -   -   -   N    -    N    -    -",
    "tcgen05_f8f6f4": "-   -   -   -   -   -   -   -   -   -   N    N    N    -    -",
    "tcgen05_mxf4":   "-   -   -   -   -   -   -   -   -   -   N    N    N    -    -",
    "ldmatrix":       "-   -   -   -   N   N   N   N   N   N   N    N    N    N    N",
    "cp_async":       "-   -   -   -   -   N   N   N   N   N   N    N    N    N    N",
    "cp_async_bulk":  "-   -   -   -   -   -   -   -   -   N   N    N    N    N    N",
    "bulk_multicast": "-   -   -   -   -   -   -   -   -   N   N    N    N    e    e",
    "griddepcontrol": "-   -   -   -   -   -   -   -   -   N   N    N    N    N    N",
    "setmaxnreg":     "-   -   -   -   -   -   -   -   -   N   N    N    N    N    N",
    "cvt_e4m3":       "-   -   -   -   -   -   -   -   N   N   N    N    N    N    N",
}  # fmt: skip
_WORDS: dict[str, Support] = {"N": "native", "e": "emulated", "-": "absent"}

FEATURES: dict[str, dict[str, Support]] = {
    feature: {
        capability: _WORDS[letter]
        for capability, letter in zip(CAPABILITIES, row.split(), strict=True)
    }
    for feature, row in _GRID.items()
}
"""Feature → compute capability → how it is there."""

SPECIFIC = frozenset(
    {"wgmma", "setmaxnreg", "qmma_16832_fp4", "omma_16864_fp4"}
    | {feature for feature in FEATURES if feature.startswith("tcgen05")}
)
"""What compiles for the architecture-specific target (`sm_90a`) only, whose code runs on no other capability."""
TUNED = frozenset({"bulk_multicast"})
"""What compiles for other targets as well, where the compiler warns that it may be much slower."""

TENSOR = frozenset(f for f in FEATURES if f.split("_")[0] in {"hmma", "imma", "qmma", "omma"})
"""Warp-level products on tensor cores."""


def _kib(*sizes: int) -> dict[str, int]:
    """Compute capability → bytes."""
    return {c: 1024 * size for c, size in zip(CAPABILITIES, sizes, strict=True)}


SHARED_BYTES = _kib(48, 48, 96, 96, 64, 163, 99, 163, 99, 227, 227, 227, 227, 99, 99)
"""The most shared memory that one block may ask for."""
SHARED_BYTES_PER_SM = _kib(64, 96, 96, 96, 64, 164, 100, 164, 100, 228, 228, 228, 228, 100, 100)
"""What the blocks of a multiprocessor share."""
RESERVED_SHARED_BYTES = 1024
"""Of it, what is the system's for each block, from 8.0 on."""

REGISTERS_PER_THREAD = 255
REGISTERS_PER_BLOCK = 65536
THREADS_PER_BLOCK = 1024
BLOCKS_PER_SM = 32

OPS_PER_CLOCK: dict[str, dict[str, int]] = {
    "6.1": {"float32": 256, "dp4a": 1024},
    "7.0": {"float32": 128, "dp4a": 512, "float16": 1024},
    "7.5": {"float32": 128, "dp4a": 512, "float16": 1024, "int8": 2048, "int4": 4096},
    "8.0": {"float32": 128, "float16": 2048, "bfloat16": 2048, "int8": 4096, "int4": 8192},
    "8.6": {"float32": 256, "float16": 1024, "bfloat16": 1024, "int8": 2048, "int4": 4096},
    "8.7": {"float32": 256, "float16": 2048, "bfloat16": 2048, "int8": 4096, "int4": 8192},
    "8.9": {"float32": 256, "float16": 1024, "bfloat16": 1024, "int8": 2048, "int4": 4096,
            "float8_e4m3fn": 2048},
    "9.0": {"float32": 256, "float16": 4096, "bfloat16": 4096, "int8": 8192,
            "float8_e4m3fn": 8192},
    "10.0": {"float32": 256, "float16": 8192, "bfloat16": 8192, "int8": 16384,
             "float8_e4m3fn": 16384},
    "10.3": {"float32": 256, "float16": 8192, "bfloat16": 8192, "float8_e4m3fn": 16384},
}  # fmt: skip
"""Dense operations per clock and SM (a multiply-add is two), by the vendor's data sheets: a lead, not a measurement."""

# Turing's small chips: GTX 16xx, GeForce MX450 and MX550, and the workstation cards T400 to T2000.
_WITHOUT_TENSOR_CORES = re.compile(r"\b(GTX 16\d\d|MX[45]50|T[4-6]00|T5[05]0|T1[02]00|T2000)\b")
_CAPABILITY = re.compile(r"(\d+\.\d+)([af]?)")


def support(feature: str, capability: str, name: str = "") -> Support | None:
    """How a feature is on a compute capability ("9.0", or "9.0a"); None where the architecture is unknown.

    `name` is the card's: a GTX 16xx says 7.5 and runs its code, but has none of its tensor cores. Raises
    KeyError where there is no such feature.
    """
    row = FEATURES[feature]
    answer = row.get(plain(capability))
    if answer == "native" and feature in TENSOR and not has_tensor_cores(capability, name):
        return "emulated"
    return answer


def has_tensor_cores(capability: str, name: str = "") -> bool | None:
    """Whether the card multiplies matrices in hardware; None where the architecture is unknown."""
    capability = plain(capability)
    if capability not in CAPABILITIES:
        return None
    lacks = capability == "7.5" and _WITHOUT_TENSOR_CORES.search(name)
    return CAPABILITIES.index(capability) >= CAPABILITIES.index("7.0") and not lacks


def missing(features: tuple[str, ...], capability: str, name: str = "") -> tuple[str, ...]:
    """Those of `features` that are not native there; on an unknown architecture, all of them."""
    return tuple(f for f in features if support(f, capability, name) != "native")


def plain(capability: str) -> str:
    """The compute capability of a target: "9.0" of "9.0a"."""
    found = _CAPABILITY.fullmatch(capability)
    return found[1] if found else capability


def target_for(capability: str, features: tuple[str, ...] = ()) -> str:
    """What to compile for on a card: "9.0a" where one of the features is made for it, else "9.0"."""
    is_specific = not (SPECIFIC | TUNED).isdisjoint(features)
    return f"{plain(capability)}a" if is_specific else plain(capability)


def runs_on(target: str, capability: str) -> bool:
    """Whether machine code for `target` runs on a card: the same major version, no later minor one.

    Code for "9.0a" runs on 9.0 alone.
    """
    if target != plain(target):
        return plain(target) == capability
    built, card = (tuple(map(int, c.split("."))) for c in (target, capability))
    return built[0] == card[0] and built[1] <= card[1]


def ops_per_s(
    unit: str, capability: str, sm_count: int, clock_hz: float, name: str = ""
) -> float | None:
    """What the vendor promises of a unit ("int8", "dp4a", …), dense, with sums in 32 bits; None: unknown."""
    ops = OPS_PER_CLOCK.get(capability, {}).get(unit)
    if ops is None or (unit not in {"float32", "dp4a"} and not has_tensor_cores(capability, name)):
        return None
    # Cards for players halve floating-point products that are summed in 32 bits; integers are whole.
    halved = "GeForce" in name and unit.startswith(("float16", "bfloat16", "float8"))
    return ops / (2 if halved else 1) * sm_count * clock_hz
