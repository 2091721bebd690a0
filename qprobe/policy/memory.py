"""Bytes of a plan: weights, KV cache and the widest moment of the activations."""

from __future__ import annotations

from collections.abc import Iterable

from qprobe.documents.base import DTYPE_BYTES, FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Profile
from qprobe.documents.scheme import Scheme

SHARE_OF_FREE_MEMORY = 0.9
"""The default limit; the rest is for the allocator and whatever else runs."""
PEAK_UNCERTAINTY = 0.1


def group_bytes(members: Iterable[Linear], scheme: Scheme, dtype: FloatDtype) -> int:
    """Exact bytes of a group's canonical tensors and biases.

    What a scheme does not store in a type of its own is held in `dtype`.
    """
    return sum(
        scheme.weight_bytes(member.n, member.k, dtype) + member.bias_bytes(dtype)
        for member in members
    )


def other_bytes(model: Model, dtype: FloatDtype) -> int:
    """Embeddings, norms and the like, held in `dtype`."""
    return model.other_elements * DTYPE_BYTES[dtype]


def working_bytes(model: Model, objective: Objective, dtype: FloatDtype) -> int:
    """KV cache at the end of the request, plus everything live at once in one layer.

    The widest moment of a layer holds, for every token, the hidden state, its residual, q, k, v
    and their mix, with what is in between (8 · hidden), both sides of the feed-forward, and what
    quantizing them needs and the allocator keeps of the moment before (5 · intermediate); and the
    logits of the last token.
    """
    tokens = objective.batch * (objective.prompt + objective.generate)
    cache = model.kv_elements_per_token * tokens
    per_token = 8 * model.hidden_size + 5 * model.intermediate_size
    layer = objective.batch * objective.prompt * per_token
    has_head = any(linear.kind == "head" for linear in model.linears)
    logits = objective.batch * model.vocab_size if has_head else 0
    return (cache + layer + logits) * DTYPE_BYTES[dtype]


def memory_limit(profile: Profile, objective: Objective) -> int | None:
    """The user's limit, else most of what is free; None: no limit is known."""
    if objective.memory_limit_bytes is not None:
        return objective.memory_limit_bytes
    if profile.free_memory_bytes is None:
        return None
    return int(SHARE_OF_FREE_MEMORY * profile.free_memory_bytes)
