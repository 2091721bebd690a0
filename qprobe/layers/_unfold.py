"""Makes every weight that a plan names an `nn.Linear` of its own, wherever the model holds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qprobe.checkpoint.linears import is_transposed, linear_shape
from qprobe.checkpoint.names import Place, find_places
from qprobe.errors import PlanMismatchError
from qprobe.layers._experts import Experts

_COUNT = re.compile(r"\{0\.\.(\d{1,6})\}", re.ASCII)
GATE_UP, DOWN = "gate_up_proj", "down_proj"


@dataclass(frozen=True)
class Site:
    """Where a module has the weight of a tensor's name; nothing is changed yet."""

    tensor: str
    place: Place
    holder: nn.Module
    """The linear, or the experts."""
    paths: tuple[str, ...]
    """Everywhere that the holder is."""
    shape: tuple[int, int]
    """(N, K)."""

    def stored(self) -> Tensor:
        """The tensor that holds the weight: its transpose, or more than it."""
        return self.holder.get_parameter(self.place.parameter)


@dataclass(frozen=True)
class Slot:
    """One linear, and everywhere that it is."""

    linear: nn.Linear
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Unfolded:
    """The linears of each tensor's name: one, or one an expert."""

    slots: Mapping[str, tuple[Slot, ...]]
    replaced: list[tuple[str, nn.Module]] = field(default_factory=list)
    """Paths at which another module was, and that module."""


def find_sites(module: nn.Module, tensors: Iterable[str]) -> list[Site]:
    """Where the module has each weight.

    Raises PlanMismatchError for weights that are not there, for experts of another number, and for
    experts that compute in a way that is not known.
    """
    shared = _places_of_each(module)
    sites = []
    for tensor, place in find_places(module, tensors).items():
        holder = module.get_submodule(place.path)
        if place.holds_experts:
            _check_experts(tensor, place, holder)
            stored = holder.get_parameter(place.parameter)
            shape = (stored.shape[1] // place.parts, stored.shape[2])
        else:
            shape = linear_shape(holder)
        sites.append(Site(tensor, place, holder, shared[_identity(holder)], shape))
    return sites


def unfold(module: nn.Module, sites: Sequence[Site]) -> Unfolded:
    """Put an `nn.Linear` for each weight into the module, in place; weights stay where they are."""
    slots: dict[str, tuple[Slot, ...]] = {}
    unfolded = Unfolded(slots)
    experts = _unfold_experts(module, sites, unfolded)
    for site in sites:
        holder = site.holder
        if site.place.holds_experts:
            slots[site.tensor] = tuple(_slots_of_experts(site, experts[_identity(holder)]))
            continue
        if is_transposed(holder):
            holder = _linear(holder.get_parameter("weight").t(), holder._parameters.get("bias"))
            holder.train(site.holder.training)
            _put(module, site.paths, holder, unfolded)
        if isinstance(holder, nn.Linear):
            slots[site.tensor] = (Slot(holder, site.paths),)
    return unfolded


@contextmanager
def unfolded(module: nn.Module, tensors: Iterable[str]) -> Iterator[Unfolded]:
    """Within, the module has an `nn.Linear` for each weight; afterwards it is as before."""
    made = unfold(module, find_sites(module, tensors))
    try:
        yield made
    finally:
        for path, child in reversed(made.replaced):
            set_module(module, path, child)


def set_module(module: nn.Module, path: str, child: nn.Module) -> None:
    """Put a module at a path, in place of what is there."""
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, child)


def _identity(holder: nn.Module) -> tuple[int, int]:
    """The same for one layer in several places, and for layers that share weight and bias."""
    weight, bias = holder._parameters.get("weight"), holder._parameters.get("bias")
    return (id(holder), 0) if weight is None else (id(weight), id(bias))


def _places_of_each(module: nn.Module) -> dict[tuple[int, int], tuple[str, ...]]:
    found: dict[tuple[int, int], tuple[str, ...]] = {}
    for path, child in module.named_modules(remove_duplicate=False):
        key = _identity(child)
        found[key] = (*found.get(key, ()), path)
    return found


def _check_experts(tensor: str, place: Place, holder: nn.Module) -> None:
    names = {name for name, value in holder._parameters.items() if value is not None}
    if names != {GATE_UP, DOWN} or not callable(getattr(holder, "act_fn", None)):
        raise PlanMismatchError(
            f"{place.path} is a {type(holder).__name__}, whose experts are not known to compute "
            "down(act(gate) · up)",
            "plan and apply with another version of transformers",
        )
    planned = _COUNT.search(tensor)
    here = len(holder.get_parameter(place.parameter))
    if planned and int(planned[1]) + 1 != here:
        raise PlanMismatchError(
            f"{tensor} is of {int(planned[1]) + 1} experts in the plan, of {here} here",
            "make a plan for this very model",
        )


def _unfold_experts(
    module: nn.Module, sites: Sequence[Site], unfolded: Unfolded
) -> dict[tuple[int, int], Experts]:
    """Replace the holders of experts, each once."""
    made: dict[tuple[int, int], Experts] = {}
    parts: dict[tuple[int, int], int] = {}
    for site in sites:
        if site.place.holds_experts and site.place.parameter == GATE_UP:
            parts[_identity(site.holder)] = site.place.parts
    for site in sites:
        key, holder = _identity(site.holder), site.holder
        if not site.place.holds_experts or key in made:
            continue
        gate_up = holder.get_parameter(GATE_UP)
        rows = gate_up.shape[1] // parts.get(key, 1)
        pieces = [
            [_linear(expert, None) for expert in piece] for piece in gate_up.split(rows, dim=1)
        ]
        down = [_linear(expert, None) for expert in holder.get_parameter(DOWN)]
        made[key] = Experts(pieces, down, holder.act_fn).train(holder.training)  # type: ignore[arg-type]
        _put(module, site.paths, made[key], unfolded)
    return made


def _slots_of_experts(site: Site, experts: Experts) -> Iterator[Slot]:
    is_down = site.place.parameter == DOWN
    where = "down" if is_down else f"gate_up.{site.place.part}"
    for number, linear in enumerate(experts.get_submodule(where).children()):
        if isinstance(linear, nn.Linear):
            yield Slot(linear, tuple(f"{path}.{where}.{number}" for path in site.paths))


def _put(module: nn.Module, paths: Sequence[str], child: nn.Module, unfolded: Unfolded) -> None:
    for path in paths:
        unfolded.replaced.append((path, module.get_submodule(path)))
        set_module(module, path, child)


def _linear(weight: Tensor, bias: nn.Parameter | None) -> nn.Linear:
    """A linear on weights that are there already: no copy is made."""
    n, k = weight.shape
    linear = nn.Linear(k, n, bias=False, device="meta", dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    linear.register_parameter("bias", bias)
    return linear


def all_finite(site: Site) -> bool:
    """Whether a weight holds no NaN and no infinity."""
    return bool(torch.isfinite(site.stored()).all())
