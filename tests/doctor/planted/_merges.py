"""Merges into layers of PyTorch itself, where PEFT is at home: as they should be, and each kind of wrong."""

from __future__ import annotations

from typing import Any

from qprobe.doctor._layer import Made
from qprobe.doctor._merge import Merge, merge_by_peft


def load() -> None:
    import peft  # noqa: F401


def make(linear: Any, dtype: Any) -> Made:
    from qprobe.doctor.scripts.layer import copy_linear

    return Made(copy_linear(linear, dtype))


def adapters(model: Any) -> list[Any]:
    """The layers of the model that have one."""
    return [module for module in model.modules() if hasattr(module, "lora_A")]


def without(model: Any) -> Any:
    return model.unload()


def of_wrong_sign(model: Any) -> Any:
    for layer in adapters(model):
        layer.scaling = {name: -factor for name, factor in layer.scaling.items()}
    return merge_by_peft(model)


def by_half(model: Any) -> Any:
    for layer in adapters(model):
        layer.scaling = {name: factor / 2 for name, factor in layer.scaling.items()}
    return merge_by_peft(model)


def of_one_layer(model: Any) -> Any:
    adapters(model)[0].scaling = {"default": 0.0}
    return merge_by_peft(model)


def refused(model: Any) -> Any:
    raise NotImplementedError("igemmlt not available (probably built with NO_CUBLASLT)")


def failed(model: Any) -> Any:
    raise KeyError("weight")


def plant(merge: Any, **how: Any) -> Merge:
    fields = {"package": "peft", "load": load, "make": make, "flag": "is_planted", "limit": 0.3}
    return Merge(merge=merge, **fields | how)


RIGHT = plant(merge_by_peft, limit=0.03)
WRONG = {merge.__name__: plant(merge) for merge in (without, of_wrong_sign, by_half, of_one_layer)}
RAISING = {
    "refused": (plant(refused), "NotImplementedError: igemmlt not available"),
    "failed": (plant(failed), "KeyError: 'weight'"),
}
