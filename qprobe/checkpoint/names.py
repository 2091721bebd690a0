"""Finds the modules of a live model by the names of the checkpoint's tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from qprobe.checkpoint.architectures import FAMILIES, WEIGHT, match_modules, match_tensor
from qprobe.checkpoint.families._family import Family
from qprobe.checkpoint.linears import named_linears
from qprobe.errors import PlanMismatchError

_SHOWN = 3
_EXPERTS = re.compile(r"\{0\.\.\d+\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a live model has a weight of the checkpoint."""

    path: str
    """Of the module."""
    parameter: str = "weight"
    """Of the module's tensors: that of a linear, or (E, N, K) of all experts."""
    part: int = 0
    parts: int = 1
    """The weight is this part of so many of the tensor's N."""

    @property
    def holds_experts(self) -> bool:
        """Whether the module is not a linear but all experts of a layer."""
        return self.parameter != "weight"


def resolve_modules(module: nn.Module, tensors: Iterable[str]) -> dict[str, str]:
    """Checkpoint tensor name → path of the linear, or of the experts, that have this weight.

    Raises PlanMismatchError as `find_places` does.
    """
    return {tensor: place.path for tensor, place in find_places(module, tensors).items()}


def find_places(module: nn.Module, tensors: Iterable[str]) -> dict[str, Place]:
    """Checkpoint tensor name → where this module has that weight.

    A bare encoder and the same encoder under a head differ by `base_model_prefix` (`encoder.…`
    is `bert.encoder.…` there), so names are tried as they are, with it, and without it; then so
    are the names that other versions of transformers give the module.
    Raises PlanMismatchError naming the first tensors that are not there and how many.
    """
    everything = list(module.named_modules(remove_duplicate=False))
    linears = {path for path, _ in named_linears(module, remove_duplicate=False)}
    stacked = {
        f"{path}.{name}".lstrip(".")
        for path, child in everything
        for name, parameter in child._parameters.items()
        if parameter is not None and parameter.ndim == 3
    }
    prefix = getattr(module, "base_model_prefix", "") or ""
    family = family_of(module)
    architecture = type(module).__name__
    found: dict[str, Place] = {}
    missing: list[str] = []
    for tensor in tensors:
        place = _find(tensor, linears, stacked, prefix, family, architecture)
        if place is None:
            missing.append(tensor)
        else:
            found[tensor] = place
    if missing:
        listed = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise PlanMismatchError(
            f"{type(module).__name__} has no linear for {len(missing)} of "
            f"{len(missing) + len(found)} tensors: {listed}",
            "make a plan for this very model (qprobe plan --model …), or load the class that the "
            "plan was made for",
        )
    return found


def family_of(module: nn.Module) -> Family | None:
    """The table of the module's type, by its config; None where it is not known."""
    model_type = getattr(getattr(module, "config", None), "model_type", None)
    return FAMILIES.get(model_type) if isinstance(model_type, str) else None


def _find(
    tensor: str,
    linears: Collection[str],
    stacked: Collection[str],
    prefix: str,
    family: Family | None,
    architecture: str,
) -> Place | None:
    if tensor == "weight" or tensor.endswith(WEIGHT):
        path = tensor.removesuffix("weight").removesuffix(".")
        for candidate in _with_and_without(path, prefix):
            if candidate in linears:
                return Place(candidate)
    if family is None:
        return None
    match = match_tensor(family, architecture, _EXPERTS.sub("0", tensor))
    if match is None:
        return None
    row = match.row
    for candidate in _with_and_without(match.name(row.module or row.pattern), prefix):
        if candidate in linears:
            return Place(candidate)
        if candidate in stacked:
            holds = [other.row for other in match_modules(family, architecture, candidate)]
            path, _, parameter = candidate.rpartition(".")
            if row not in holds:
                return Place(path, parameter)
            return Place(path, parameter, holds.index(row), len(holds))
    return None


def _with_and_without(path: str, prefix: str) -> Iterator[str]:
    yield path
    if prefix:
        yield f"{prefix}.{path}"
        yield path.removeprefix(f"{prefix}.")
