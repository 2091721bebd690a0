"""Whether the documents that a plan is asked from fit one another."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Profile
from qprobe.documents.scheme import SCHEMES
from qprobe.documents.sensitivity import Sensitivity
from qprobe.errors import InputError


def check_inputs(
    model: Model,
    profiles: Sequence[Profile],
    objective: Objective,
    sensitivity: Sensitivity | None,
) -> None:
    """Raise InputError naming the first thing that does not fit."""
    check_request(model, objective)
    if not profiles:
        raise InputError("no profile was given", "measure one: qprobe bench -o profile.json")
    slugs = Counter(profile.fingerprint.slug for profile in profiles)
    if twice := [slug for slug, count in slugs.items() if count > 1]:
        raise InputError(f"two profiles are of {twice[0]}", "give one profile for each device")
    if sensitivity and sensitivity.model_hash != model.model_hash:
        raise InputError(
            f"the sensitivity is of model {sensitivity.model_hash}; {model.name} is "
            f"{model.model_hash}",
            "measure the sensitivity of this model",
        )


def check_request(model: Model, objective: Objective) -> None:
    """Raise InputError for a request that the model cannot take, before anything is measured."""
    if not model.linears:
        raise InputError(
            f"{model.name} has no linear layers: there is nothing to plan", "give another model"
        )
    tokens = objective.prompt + objective.generate
    if model.max_tokens is not None and tokens > model.max_tokens:
        raise InputError(
            f"{tokens} tokens were asked for; {model.name} takes at most {model.max_tokens}",
            "ask for fewer: --prompt, --generate",
        )
    groups = model.groups()
    for group, scheme in objective.pinned.items():
        if group not in groups:
            raise InputError(
                f"pinned group {group!r} is not in {model.name}", _close(group, groups)
            )
        if scheme not in SCHEMES:
            raise InputError(
                f"group {group!r} is pinned to {scheme!r}, which is no scheme",
                _close(scheme.upper(), SCHEMES),
            )


def _close(asked: str, known: Iterable[str]) -> str:
    names = list(known)
    matches = difflib.get_close_matches(asked, names, n=3, cutoff=0.5) or names[:5]
    return f"did you mean {' or '.join(matches)}?"
