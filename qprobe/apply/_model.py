"""Whether a module is the model that was planned."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from qprobe.checkpoint import read_model
from qprobe.documents.plan import PlannedModel
from qprobe.errors import InputError


@dataclass(frozen=True)
class ModelChange:
    """What differs between a module and the model that was planned."""

    words: str
    is_other_class: bool
    """The plan may be of the very layers that the module has under another head, or under none."""


def compare_model(planned: PlannedModel, module: nn.Module) -> ModelChange | None:
    """What of the module is not as planned: config, names, shapes, types; None: nothing.

    Weights of other values are no difference: they are quantized as they are.
    """
    try:
        here = read_model(module)
    except InputError as error:
        return ModelChange(f"the model cannot be compared with the plan's: {error}", False)
    if here.model_hash == planned.model_hash:
        return None
    return ModelChange(
        f"model: {planned.architecture} of {planned.linears} linears, hash {planned.model_hash}, in "
        f"the plan; {here.architecture} of {len(here.linears)}, hash {here.model_hash}, here",
        here.architecture != planned.architecture,
    )
