"""Finds the modules of a live model by the names of the checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from qprobe.errors import PlanMismatchError

_SHOWN = 3


def resolve_modules(module: nn.Module, tensors: Iterable[str]) -> dict[str, str]:
    """Checkpoint tensor name → path of the linear in this module that has this weight.

    A bare encoder and the same encoder under a head differ by `base_model_prefix` (`encoder.…`
    is `bert.encoder.…` there), so names are tried as they are, with it, and without it.
    Raises PlanMismatchError naming the first tensors that are not there and how many.
    """
    linears = {path for path, child in module.named_modules() if isinstance(child, nn.Linear)}
    prefix = getattr(module, "base_model_prefix", "") or ""
    found: dict[str, str] = {}
    missing: list[str] = []
    for tensor in tensors:
        path = next((p for p in _candidates(tensor, prefix) if p in linears), None)
        if path is None:
            missing.append(tensor)
        else:
            found[tensor] = path
    if missing:
        listed = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise PlanMismatchError(
            f"{type(module).__name__} has no linear for {len(missing)} of "
            f"{len(missing) + len(found)} tensors: {listed}",
            "make a plan for this very model (qprobe plan --model …), or load the class that the "
            "plan was made for",
        )
    return found


def _candidates(tensor: str, prefix: str) -> Iterable[str]:
    if tensor != "weight" and not tensor.endswith(".weight"):
        return
    path = tensor.removesuffix("weight").removesuffix(".")
    yield path
    if prefix:
        yield f"{prefix}.{path}"
        yield path.removeprefix(f"{prefix}.")
