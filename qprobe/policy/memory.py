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
        member.count * scheme.weight_bytes(member.n, member.k, dtype) + member.bias_bytes(dtype)
        for member in members
    )


def other_bytes(model: Model, dtype: FloatDtype) -> int:
    """Embeddings, norms and the like, held in `dtype`."""
    return model.other_elements * DTYPE_BYTES[dtype]


def working_bytes(model: Model, objective: Objective, dtype: FloatDtype) -> int:
    """KV cache at the end of the request, plus everything live at once in one layer.

    The widest moment of a layer holds, for every token, the hidden state, its residual, q, k, v
    and their mix, with what is in between (8 · hidden), both sides of the feed-forward, and what
    quantizing them needs and the allocator keeps of the moment before (5 · intermediate); or, where
    that is more, the head holds its logits, of the last token or of all, and the hidden state.
    """
    cache = objective.batch * model.kv_elements(objective.prompt, objective.generate)
    per_token = 8 * model.hidden_size + 5 * model.intermediate_size
    rows = objective.batch * model.prefill_tokens(objective.prompt)
    heads = (linear for linear in model.linears if linear.kind == "head")
    logits = sum(head.m(objective.batch, objective.prompt) * head.n for head in heads)
    widest = max(rows * per_token, rows * model.hidden_size + logits)
    return (cache + widest) * DTYPE_BYTES[dtype]


def memory_limit(profile: Profile, objective: Objective) -> int | None:
    """The user's limit, else most of what is free; None: no limit is known."""
    if objective.memory_limit_bytes is not None:
        return objective.memory_limit_bytes
    if profile.free_memory_bytes is None:
        return None
    return int(SHARE_OF_FREE_MEMORY * profile.free_memory_bytes)
