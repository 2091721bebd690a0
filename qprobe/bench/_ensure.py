"""The profile that a plan needs: from the cache, and measured where the cache has gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import torch

from qprobe.bench._bed import find_bed
from qprobe.bench._conditions import ReadState
from qprobe.bench._rest import measure_rest
from qprobe.bench._run import empty_profile, extend_profile
from qprobe.bench._shape import in_caches
from qprobe.bench._speed import scale_rest
from qprobe.checkpoint.loading import load_module
from qprobe.documents.machine import Machine
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import KernelFact, Profile, Shape
from qprobe.errors import UnavailableError
from qprobe.kernels.registry import kernel_facts
from qprobe.kernels.sources import hash_sources
from qprobe.timing.cache import recall, remember
from qprobe.timing.progress import Progress, silent


def ensure_profile(
    model: Model,
    objective: Objective,
    device: str,
    machine: Machine,
    *,
    path: Path | None = None,
    measure: Literal["auto", "never"] = "auto",
    progress: Progress = silent,
    read_state: ReadState | None = None,
) -> Profile:
    """The device's profile, with the shapes of this model under this objective.

    What the cache lacks is measured and kept, shape by shape; `path` is the checkpoint, to measure
    the rest of the model on (None: not measured). With `measure="never"` nothing is timed. After
    Ctrl-C the profile says `interrupted`.
    """
    weights = model.linear_weights
    name = _cache_name(machine, device, in_caches(weights, device))
    profile = recall(Profile, name)
    if profile is None or _able(profile.kernels) != _able(kernel_facts(device)):
        # Nothing is known, or something was installed since, or removed.
        profile = empty_profile(machine, device, weights)
    profile = profile.model_copy(
        update={"free_memory_bytes": find_bed(device).memory_bytes(), "interrupted": False}
    )
    if measure == "never":
        return profile

    def keep(current: Profile) -> None:
        remember(current, name)

    missing = [s for s in wanted_shapes(model, objective) if s not in profile.shapes()]
    profile = extend_profile(
        profile, missing, device, progress=progress, keep=keep, read_state=read_state
    )
    # What takes more than token ids is not run here: its rest is modelled, and the plan says so.
    if path is not None and model.reads_only_text and not profile.interrupted:
        profile = _with_rest(profile, model, objective, path, device, progress, keep)
    return profile


def wanted_shapes(model: Model, objective: Objective) -> list[Shape]:
    """The shapes that a request runs through, prefill first."""
    passes = [(objective.prompt, 0)] + ([(1, objective.past)] if objective.generate else [])
    return list(
        dict.fromkeys(
            Shape(m=m, n=linear.n, k=linear.k)
            for tokens, past in passes
            for linear in model.linears
            if (m := linear.m(objective.batch, tokens, past=past))
        )
    )


def _able(facts: Iterable[KernelFact]) -> set[tuple[str, int | None]]:
    """The kernels that can run, and the largest codes that they multiply exactly."""
    return {(fact.kernel, fact.max_code) for fact in facts if fact.available}


def _cache_name(machine: Machine, device: str, weights: int | None) -> str:
    if device not in machine.fingerprints:
        return f"{device}-unknown"
    fingerprint = machine.fingerprints[device]
    size = "" if weights is None else f"-{weights}"
    return f"{fingerprint.slug}-{fingerprint.digest()}-{hash_sources()}{size}"


def _with_rest(
    profile: Profile,
    model: Model,
    objective: Objective,
    path: Path,
    device: str,
    progress: Progress,
    keep: Callable[[Profile], None],
) -> Profile:
    """Measure what else a request costs, for each type that the model could compute in."""
    known = {(r.model_hash, r.batch, r.prompt, r.generate, r.dtype) for r in profile.rest}
    request = (model.model_hash, objective.batch, objective.prompt, objective.generate)
    dtypes = find_bed(device).compute_dtypes
    missing = [dtype for dtype in dtypes if (*request, dtype) not in known]
    if not missing:
        return profile
    progress("loading the model to time everything but its linears", 0.0)
    try:
        module = load_module(path)
    except UnavailableError:
        return profile  # Without transformers the rest is modelled, and the plan says so.
    for index, dtype in enumerate(missing):
        progress(f"timing everything but the linears in {dtype}", index / len(missing))
        try:
            rest, yardstick_s = measure_rest(module, model, objective, dtype, device)
        except KeyboardInterrupt:
            return profile.model_copy(update={"interrupted": True})
        except torch.OutOfMemoryError:
            return profile  # What the device cannot hold is modelled, and the plan says so.
        rest = scale_rest(rest, profile.yardstick_s / yardstick_s)
        profile = profile.model_copy(update={"rest": (*profile.rest, rest)})
        keep(profile)
    return profile
