"""Seconds of everything but the linears: measured on this model and request, or modelled."""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.documents.base import DTYPE_BYTES, FloatDtype, Quantity
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Profile
from qprobe.documents.roofline import Work, attainable
from qprobe.policy.memory import has_tied_head
from qprobe.policy.quantities import NOTHING, add

PASSES = 20
"""Reads and writes of the hidden state in one layer: two norms, two residuals, biases, the
activation function, the heads' reshapes, softmax; counted in BERT and Llama. Each is a launch."""


@dataclass(frozen=True, slots=True)
class RestTime:
    """What a request costs besides its linears."""

    prefill: Quantity
    decode: Quantity
    """Of one token; nothing where none is generated."""
    request: Quantity


def predict_rest(
    model: Model, profile: Profile, objective: Objective, dtype: FloatDtype
) -> RestTime:
    """The profile's own entry for exactly this model, request and type; else a model of it."""
    asked = (model.model_hash, objective.batch, objective.prompt, objective.generate, dtype)
    for entry in profile.rest:
        if (entry.model_hash, entry.batch, entry.prompt, entry.generate, entry.dtype) == asked:
            seconds = (entry.prefill_s, entry.decode_s_per_token)
            prefill, decode = (
                Quantity(value=s, provenance="measured", uncertainty=entry.relative_spread)
                for s in seconds
            )
            break
    else:
        prefill = _forward(model, profile, objective, dtype, objective.prompt, objective.prompt)
        context = objective.prompt + (objective.generate + 1) // 2
        decode = _forward(model, profile, objective, dtype, 1, context)
    if not objective.generate:
        decode = NOTHING
    return RestTime(prefill, decode, add([(1, prefill), (objective.generate, decode)]))


def _forward(
    model: Model,
    profile: Profile,
    objective: Objective,
    dtype: FloatDtype,
    tokens: int,
    context: int,
) -> Quantity:
    """A pass over `tokens` new tokens, each attending to `context`: attention, the passes, a tied head."""
    rows = objective.batch * tokens
    width = DTYPE_BYTES[dtype]
    kept = model.kv_elements(objective.prompt, max(0, context - objective.prompt))
    cache = objective.batch * kept * width // model.layers
    is_eager = objective.launch == "eager"
    launch_s = profile.launch_s if is_eager else profile.graph_launch_s or 0.0
    attention = Work(cache, 4 * rows * context * model.hidden_size, dtype)
    one_pass = Work(rows * model.hidden_size * width, 0, dtype)
    weights = model.vocab_size * model.hidden_size
    head = Work(weights * width, 2 * objective.batch * weights, dtype)
    return add(
        [
            (model.layers, attainable(profile, attention, launch_s)),
            (model.layers * PASSES, attainable(profile, one_pass, launch_s)),
            (int(has_tied_head(model, objective)), attainable(profile, head, launch_s)),
        ]
    )
