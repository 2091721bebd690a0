"""What each choice adds to the error at the model's output, as power: powers add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.documents.plan import ErrorEstimate
from qprobe.documents.scheme import SCHEMES, ActivationType
from qprobe.documents.sensitivity import Method, Sensitivity

PRIOR_NOISE: dict[tuple[str, str], float] = {
    ("BF16", "none"): 3e-3**2,
    ("FP16", "none"): 3.6e-4**2,
    ("W8A16", "rtn"): 1e-2**2,
    ("W8A16", "rtn_reduce_range"): 2e-2**2,
    ("W4A16_G32", "mse"): 7.8e-2**2,
    ("W4A16_G64", "mse"): 8.9e-2**2,
    ("W4A16_ASYM", "mse"): 9.1e-2**2,
    ("W4A16", "mse"): 9.9e-2**2,
    ("NF4", "rtn"): 9.2e-2**2,
}
"""Noise power of a layer where nothing was measured: relative errors of 4096 × 4096 layers on
normal data, 0.0029 for bf16 and 0.009 for 8-bit weights; one bit less doubles the error. There is
none for quantized activations: one outlier channel changes it by two orders of magnitude."""
CASTS = {name for name, scheme in SCHEMES.items() if not scheme.is_quantized}
PRIOR_CAST_POWER = 1e-2**2
"""Error power of a small transformer under bf16, cosine 0.99995, where no floor was measured."""

FLOOR_DTYPE: FloatDtype = "bfloat16"
"""What the noise floor of a sensitivity was measured in."""

SIGNIFICAND_BITS: dict[FloatDtype, int] = {
    "float64": 53,
    "float32": 24,
    "float16": 11,
    "bfloat16": 8,
}


def is_cast(stored: FloatDtype, compute_dtype: FloatDtype) -> bool:
    """Whether holding the model in `compute_dtype` rounds its values."""
    return SIGNIFICAND_BITS[compute_dtype] < SIGNIFICAND_BITS[stored]


class ErrorModel:
    """Powers from a Sensitivity document, or priors in its absence."""

    def __init__(self, model: Model, sensitivity: Sensitivity | None) -> None:
        """Index the document by group, scheme and algorithm."""
        self._stored = model.dtype
        self._groups = model.groups()
        self._sensitivity = sensitivity
        self.method: Method = sensitivity.method if sensitivity else "prior"
        has_head = any(linear.kind == "head" for linear in model.linears)
        self.metric: Literal["logits", "last_hidden_state"] = (
            "logits" if has_head else "last_hidden_state"
        )
        if sensitivity is None:
            self._gains: dict[str, dict[ActivationType | None, float | None]] = {
                group: {None: 1 / len(self._groups)} for group in self._groups
            }
            self._noise: dict[tuple[str, str, str], float] = {}
            self._measured: dict[tuple[str, str], float] = {}
            self._cast: set[str] = set()
        else:
            self.metric = sensitivity.metric
            self._gains = {}
            for gain in sensitivity.gains:
                self._gains.setdefault(gain.group, {})[gain.activations] = gain.gain
            self._noise = {
                (layer.tensor, layer.scheme, layer.algorithm): layer.noise
                for layer in sensitivity.layers
            }
            self._cast = {layer.tensor for layer in sensitivity.layers if layer.scheme in CASTS}
            self._measured = {
                (uniform.scheme, uniform.algorithm): uniform.power
                for uniform in sensitivity.uniform
                if uniform.compute_dtype == model.dtype
            }
        self._covered = {key: self._uniform_groups(*key) for key in self._measured}
        self._inflation = {key: self._inflate(*key) for key in self._measured}

    def power(self, group: str, scheme: str, algorithm: str) -> float | None:
        """What the group adds to the error power under a scheme; None: nothing is known."""
        raw = self._raw(group, scheme, algorithm)
        return None if raw is None else raw * self._inflation.get((scheme, algorithm), 1.0)

    def is_out_of_reach(self, group: str) -> bool:
        """Whether the group's output is known not to reach the output that is compared."""
        gains = self._gains.get(group, {}).values()
        return bool(gains) and all(gain is None for gain in gains)

    def cast_power(self, compute_dtype: FloatDtype) -> float:
        """What holding the whole model in `compute_dtype` costs, once."""
        if not is_cast(self._stored, compute_dtype):
            return 0.0
        if self._sensitivity is None or self._sensitivity.noise_floor is None:
            return PRIOR_CAST_POWER
        return self._sensitivity.noise_floor

    def estimate(
        self, power: float, changed: Mapping[str, tuple[str, str]], compute_dtype: FloatDtype
    ) -> ErrorEstimate:
        """The error of a plan that changes groups to (scheme, algorithm).

        It is `end_to_end` where that very plan was run: a uniform one, or a cast alone.
        """
        floor = self._sensitivity.noise_floor if self._sensitivity else None
        kinds = set(changed.values())
        if kinds:
            kind = next(iter(kinds))
            was_run = (
                len(kinds) == 1
                and compute_dtype == self._stored
                and self._covered.get(kind) == frozenset(changed)
            )
        else:
            was_run = compute_dtype == FLOOR_DTYPE != self._stored and floor is not None
        return ErrorEstimate(
            metric=self.metric,
            value=power**0.5,
            method="end_to_end" if was_run else self.method,
            noise_floor=None if floor is None else floor**0.5,
        )

    def _raw(self, group: str, scheme: str, algorithm: str) -> float | None:
        gains = self._gains.get(group, {})
        gain = gains.get(SCHEMES[scheme].activations, gains.get(None))
        if gain is None:
            return None
        noises = [self._layer(layer, scheme, algorithm) for layer in self._groups[group]]
        known = [noise for noise in noises if noise is not None]
        return gain * sum(known) / len(known) if len(known) == len(noises) else None

    def _layer(self, layer: Linear, scheme: str, algorithm: str) -> float | None:
        may_guess = self._may_guess(layer.tensor, scheme)
        prior = PRIOR_NOISE.get((scheme, algorithm)) if may_guess else None
        return self._noise.get((layer.tensor, scheme, algorithm), prior)

    def _may_guess(self, tensor: str, scheme: str) -> bool:
        """A cast's rounding depends on nothing else; quantization is guessed only without data.

        Where a layer's casts were measured, one of which nothing is said cannot hold it.
        """
        if self._sensitivity is None:
            return True
        return scheme in CASTS and tensor not in self._cast

    def _uniform_groups(self, scheme: str, algorithm: str) -> frozenset[str]:
        """The groups that a uniform run quantized: all but heads and those out of reach."""
        return frozenset(
            group
            for group, members in self._groups.items()
            if not has_kind(members, "head") and self._raw(group, scheme, algorithm) is not None
        )

    def _inflate(self, scheme: str, algorithm: str) -> float:
        """Measured error power of the uniform plan over the sum of its groups' powers."""
        powers = (
            self._raw(group, scheme, algorithm) or 0.0 for group in self._covered[scheme, algorithm]
        )
        total = sum(sorted(powers))
        return self._measured[scheme, algorithm] / total if total else 1.0


def has_kind(members: Sequence[Linear], kind: str) -> bool:
    """Whether a linear of the group is of the kind."""
    return any(member.kind == kind for member in members)
