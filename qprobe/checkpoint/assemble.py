"""Puts the facts of a checkpoint or of a live module together into a Model."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import cast

from pydantic import BaseModel

from qprobe.checkpoint.config import Config
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model

MAX_NAME = 100

_GENERIC_NAME = re.compile(r"|model|weights|checkpoint(-\d+)?|output|export|tmp|[0-9a-f]{40}")


def choose_name(*candidates: str) -> str:
    """The last part of the first candidate that says something, else of the last one."""
    names = [candidate.rstrip("/").rpartition("/")[2] for candidate in candidates]
    telling = (name for name in names if not _GENERIC_NAME.fullmatch(name.lower()))
    return next(telling, names[-1])


def assemble_model(
    name: str, config: Config, linears: Sequence[Linear], other_elements: int
) -> Model:
    """The Model of these linears; `other_elements` are what they do not own.

    The config is of the stacks that the class has.
    """
    caching = [stack for stack in config.stacks if stack.kv_elements_per_token]
    crossing = [stack for stack in caching if stack.crosses]
    frames = [linear.frames for linear in linears if linear.frames is not None]
    facts: dict[str, object] = {
        "architecture": config.architecture,
        "model_type": config.model_type,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "attention_heads": config.attention_heads,
        "layers": config.layers,
        "vocab_size": config.vocab_size,
        "max_tokens": config.max_tokens,
        "kv_elements_per_token": sum(stack.kv_elements_per_token for stack in caching),
        "quantization_config": config.quantization_config,
    }
    more: dict[str, object] = {
        "kv_windows": tuple(window for stack in caching for window in stack.windows),
        "cross_kv_elements_per_token": sum(stack.kv_elements_per_token for stack in crossing),
        "encoder_frames": max(frames, default=None),
    }
    facts |= {name: value for name, value in more.items() if value}
    return finish_model(name, facts, linears, other_elements)


def finish_model(
    name: str, facts: dict[str, object], linears: Sequence[Linear], other_elements: int
) -> Model:
    """Validate the facts as a Model and add the hash, the most frequent dtype and a clean name.

    The hash is over the facts, the linears and the other elements: a checkpoint and the module
    that is loaded from it have the same one, wherever it lies.
    """
    by_name = sorted(linears, key=lambda linear: linear.tensor)
    described = [linear.model_dump(exclude_defaults=True) for linear in by_name]
    content = json.dumps([facts, described, other_elements], sort_keys=True, default=_plainly)
    digest = hashlib.sha256(content.encode()).hexdigest()
    elements: Counter[str] = Counter()
    for linear in linears:
        elements[linear.dtype] += linear.count * linear.n * linear.k
    return Model.model_validate(
        {
            **facts,
            "name": _printable(name),
            "model_hash": digest[:16],
            "dtype": cast(FloatDtype, elements.most_common(1)[0][0]),
            "linears": tuple(linears),
            "other_elements": other_elements,
        }
    )


def _plainly(value: object) -> object:
    """What JSON can hold of a document."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is no fact")


def _printable(name: str) -> str:
    """A name from a file or a path, safe to print on a terminal."""
    return "".join(c for c in name if c.isprintable())[:MAX_NAME] or "model"
