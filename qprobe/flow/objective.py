"""The request and the limits as people give them → Objective."""

from __future__ import annotations

import math
import re
from typing import Literal

from qprobe.documents.objective import ErrorLimit, Objective
from qprobe.errors import InputError

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?i?b?)", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
            "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
_MOST_ROWS = 2**31 - 1
"""Rows of x that torch's kernels can index."""


def build_objective(
    batch: int = 1,
    prompt: int = 128,
    generate: int = 0,
    memory: str | None = None,
    max_error: float | None = None,
    launch: Literal["eager", "graph"] = "eager",
) -> Objective:
    """The objective; an error limit that is given is hard, the default one is soft.

    `launch` says whether the host starts every kernel by itself or a CUDA graph of them. Raises InputError naming the option that is out of range.
    """
    for option, value, least in (
        ("--batch", batch, 1),
        ("--prompt", prompt, 1),
        ("--generate", generate, 0),
    ):
        if value < least:
            raise InputError(f"{option} {value} is below {least}", f"give {option} {least} or more")
    if batch * (prompt + generate) > _MOST_ROWS:
        raise InputError(
            f"--batch {batch} of --prompt {prompt} and --generate {generate} are more than "
            f"{_MOST_ROWS} tokens",
            "give a request that a device can hold",
        )
    if max_error is not None and not (math.isfinite(max_error) and max_error > 0):
        raise InputError(
            f"--max-error {max_error} is not a positive number", "give a share such as 0.05"
        )
    limit = ErrorLimit() if max_error is None else ErrorLimit(value=max_error, hard=True)
    return Objective(
        batch=batch,
        prompt=prompt,
        generate=generate,
        launch=launch,
        memory_limit_bytes=None if memory is None else parse_bytes(memory),
        error_limit=limit,
    )


def parse_bytes(text: str) -> int:
    """20GiB, 8 GB, 512M or plain bytes → bytes; GiB counts in 2³⁰, GB and G in 10⁹."""
    found = _SIZE.fullmatch(text.strip())
    unit = found[2].lower().removesuffix("b") if found else ""
    if found is None or unit not in _FACTORS:
        raise InputError(f"--memory {text!r:.40} is not an amount of memory", "write it as 20GiB")
    count = int(float(found[1]) * _FACTORS[unit])
    if count < 1:
        raise InputError(f"--memory {text!r} is less than a byte", "write it as 20GiB")
    return count
