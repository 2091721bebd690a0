"""Measures the linears of a model, or given shapes, on one device."""

from __future__ import annotations

from collections.abc import Sequence

from qprobe.documents.model import Model
from qprobe.documents.profile import Profile
from qprobe.errors import InputError
from qprobe.timing.progress import Progress, silent

DEFAULT_M = (1, 8, 32, 128, 512)
DEFAULT_SHAPES = ((768, 768), (3072, 768), (768, 3072))
"""(N, K) of BERT-base, the most common size of an encoder."""


def bench(
    device: str | None = None,
    model: str | None = None,
    shapes: Sequence[tuple[int, int]] = (),
    m: Sequence[int] = DEFAULT_M,
    progress: Progress = silent,
) -> Profile:
    """Measure every kernel on the shapes (N, K) of `model`, or on `shapes`, at each M.

    Without either, the shapes of BERT-base. `interrupted` is set on the profile after Ctrl-C.
    """
    if model is not None and shapes:
        raise InputError("both --model and --shape were given", "give one of them")
    from qprobe.bench import run_bench
    from qprobe.kernels.device import default_device, parse_device

    name = default_device() if device is None else parse_device(device)
    facts = None if model is None else _read(model)
    wanted = _shapes_of(facts) if facts else (tuple(shapes) or DEFAULT_SHAPES)
    from qprobe.flow.gpu_state import state_reader
    from qprobe.probe import probe_machine

    return run_bench(
        probe_machine(),
        name,
        wanted,
        tuple(m),
        weights=facts.linear_weights if facts else None,
        progress=progress,
        read_state=state_reader(name),
    )


def _read(model: str) -> Model:
    from qprobe.checkpoint import read_model
    from qprobe.flow.hub import find_model

    return read_model(find_model(model))


def _shapes_of(model: Model) -> tuple[tuple[int, int], ...]:
    """The distinct (N, K) of the model's linears, in the checkpoint's order."""
    return tuple(dict.fromkeys((linear.n, linear.k) for linear in model.linears))
