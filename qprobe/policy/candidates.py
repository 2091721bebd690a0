"""Everything that each fusion group could become: scheme, algorithm and packing per compute type."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.documents.profile import REFERENCE, KernelFact, Profile
from qprobe.documents.scheme import SCHEMES, CastWeights, Scheme
from qprobe.policy.cells import Unavailable
from qprobe.policy.error import ErrorModel, is_cast
from qprobe.policy.memory import group_bytes
from qprobe.policy.quantities import comparable
from qprobe.policy.timing import GroupClock, GroupTime

TIE_SHARE = 5e-4
"""A greater change must save this share of a group's time, at least, to be worth it."""
DOUBT = 0.5
"""Share of its uncertainty by which a measured change must win: half of p20–p80 about a median of ten
samples is two standard errors of it. It must win by the time to start its calls as well. Without these,
the plan would follow the noise."""
CASTS: dict[FloatDtype, str] = {
    scheme.weights.dtype: name
    for name, scheme in SCHEMES.items()
    if isinstance(scheme.weights, CastWeights)
}
"""Narrow type → the scheme that stores weights in it."""
CHANGE = {name: rank for rank, name in enumerate(SCHEMES)}
"""Scheme → how much it changes: 0 for none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to treat one group, with what it costs in seconds, bytes and error."""

    group: str
    compute_dtype: FloatDtype
    scheme: Scheme
    algorithm: str
    packing: str
    kernels: tuple[str, ...]
    """The available ones of the packing that compute the scheme."""
    missing: tuple[str, ...]
    """Why it cannot run, where it cannot."""
    rounds: bool
    """Whether the group is changed beyond the compute type of the whole model."""
    time: GroupTime | None
    cost: float
    """Seconds of the request to compare by; infinite where it cannot run."""
    goal: float
    """The cost, and what a change has to win by."""
    weight_bytes: int
    power: float | None
    """What it adds to the error power; None: nothing is known."""

    @property
    def is_plain(self) -> bool:
        """Whether it leaves the layers as they are."""
        return self.scheme.weights is None and self.kernels == (REFERENCE,)

    @property
    def preference(self) -> tuple[int, bool, str]:
        """The order of candidates that are equal in everything else."""
        return CHANGE[self.scheme.name], REFERENCE not in self.kernels, self.packing


def compute_dtypes(model: Model, profile: Profile) -> tuple[FloatDtype, ...]:
    """The activation types to consider, the stored one first.

    float16 is not computed on CPUs, and float64 is not cut to float32, for which no scheme stands.
    On GPUs float16 stands in for bfloat16 where that is emulated; elsewhere models of bfloat16, whose
    values may exceed its range, are not brought to it.
    """
    measured = {measurement.cell.activation_dtype for measurement in profile.measurements}
    asked: list[FloatDtype] = [model.dtype]
    wider: list[FloatDtype] = ["float32", "bfloat16"]
    asked += [dtype for dtype in wider if not measured or dtype in measured]
    peak = profile.peaks.get("bfloat16")
    is_emulated = peak is not None and peak.support == "emulated"
    fits = model.dtype != "bfloat16" or is_emulated
    if profile.fingerprint.kind == "cuda" and "float16" in measured and fits:
        asked.append("float16")
    if profile.fingerprint.kind == "cpu" and model.dtype == "float16":
        asked = [dtype for dtype in asked if dtype != "float16"] or ["float32"]
    if model.dtype == "float64":
        asked = [dtype for dtype in asked if dtype != "float32"]
    return tuple(dict.fromkeys(asked))


def schemes_at(stored: FloatDtype, compute_dtype: FloatDtype) -> tuple[str, ...]:
    """The schemes that mean something when activations are of `compute_dtype`, least change first."""
    if is_cast(stored, compute_dtype):
        unquantized: tuple[str, ...] = (CASTS[compute_dtype],)
    elif compute_dtype == "float32":
        unquantized = ("NONE", "BF16")
    else:
        unquantized = ("NONE",)
    return (*unquantized, *(name for name, scheme in SCHEMES.items() if scheme.is_quantized))


Kind = tuple[tuple[object, ...], ...]
"""What the candidates of a group depend on but for its error, of each member."""


def _kind(members: Sequence[Linear]) -> Kind:
    return tuple((m.n, m.k, m.count, m.has_bias, m.rows, m.top_k, m.frames) for m in members)


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds the candidates of one model on one profile; those of equal groups once."""

    model: Model
    profile: Profile
    clock: GroupClock
    errors: ErrorModel
    _known: dict[tuple[Kind, tuple[FloatDtype, ...]], list[Candidate]] = field(default_factory=dict)
    _plain: dict[tuple[Kind, FloatDtype], Candidate] = field(default_factory=dict)

    def of_group(
        self, group: str, members: Sequence[Linear], dtypes: Sequence[FloatDtype]
    ) -> list[Candidate]:
        """All candidates of a group over the compute types, costed beside one another."""
        key = _kind(members), tuple(dtypes)
        if key not in self._known:
            found = [
                self._build(members, dtype, SCHEMES[name], facts)
                for dtype in dtypes
                for name in schemes_at(self.model.dtype, dtype)
                for facts in self._packings(name)
            ]
            self._known[key] = rank(found, beside=found)
        return [self._give(candidate, group) for candidate in self._known[key]]

    def plain(
        self, group: str, members: Sequence[Linear], dtype: FloatDtype, beside: Sequence[Candidate]
    ) -> Candidate:
        """The unquantized group through the reference kernel alone, costed beside others."""
        key = _kind(members), dtype
        if key not in self._plain:
            scheme = SCHEMES[schemes_at(self.model.dtype, dtype)[0]]
            fact = self.profile.kernel_facts()[REFERENCE]
            (self._plain[key],) = rank([self._build(members, dtype, scheme, [fact])], beside)
        return self._give(self._plain[key], group)

    def _give(self, candidate: Candidate, group: str) -> Candidate:
        """The candidate as the group's own, with its error."""
        power: float | None = 0.0
        if candidate.rounds:
            power = self.errors.power(group, candidate.scheme.name, candidate.algorithm)
        return replace(candidate, group=group, power=power)

    def _build(
        self,
        members: Sequence[Linear],
        dtype: FloatDtype,
        scheme: Scheme,
        facts: Sequence[KernelFact],
    ) -> Candidate:
        """One candidate for any group of such members, through the kernels of one packing."""
        able = [fact for fact in facts if fact.available]
        kernels = tuple(sorted(fact.kernel for fact in able))
        missing = tuple(f"{fact.kernel}: {fact.reason}" for fact in facts if not fact.available)
        algorithm = _algorithm(scheme, able)
        time: GroupTime | None = None
        if algorithm is None:
            missing = (f"{', '.join(kernels)}: no algorithm yields codes that small",)
        elif words := _shape_objection(members, scheme):
            missing = (words,)
        elif able:
            timed = self.clock.time(members, scheme.name, kernels, dtype)
            missing = timed.reasons if isinstance(timed, Unavailable) else ()
            time = None if isinstance(timed, Unavailable) else timed
        rounds = scheme.is_quantized or (
            scheme.weights is not None and not is_cast(self.model.dtype, dtype)
        )
        algorithm = algorithm or next(iter(scheme.algorithms))
        return Candidate(
            group="",
            compute_dtype=dtype,
            scheme=scheme,
            algorithm=algorithm,
            packing=facts[0].packing,
            kernels=kernels,
            missing=missing,
            rounds=rounds,
            time=time,
            cost=math.inf,
            goal=math.inf,
            weight_bytes=group_bytes(members, scheme, dtype),
            power=None,
        )

    def _packings(self, scheme: str) -> Iterator[list[KernelFact]]:
        packings: dict[str, list[KernelFact]] = {}
        for fact in sorted(
            self.profile.kernel_facts().values(), key=lambda fact: (fact.packing, fact.kernel)
        ):
            if scheme in fact.schemes:
                packings.setdefault(fact.packing, []).append(fact)
        yield from packings.values()


def rank(candidates: Sequence[Candidate], beside: Sequence[Candidate]) -> list[Candidate]:
    """Give candidates their cost and goal at one provenance: that of their group, `beside`."""
    requests = [(c.scheme, c.time.request) for c in beside if c.time is not None]
    beside_measured = any(
        not scheme.is_quantized and request.provenance != "modelled" for scheme, request in requests
    )
    least = min((comparable(r, beside_measured=beside_measured) for _, r in requests), default=0.0)
    plain = {c.compute_dtype: c.time.request.value for c in beside if c.is_plain and c.time}
    found: list[Candidate] = []
    for candidate in candidates:
        if candidate.time is None:
            found.append(candidate)
            continue
        request = candidate.time.request
        cost = comparable(request, beside_measured=beside_measured)
        if candidate.scheme.is_quantized and candidate.kernels == (REFERENCE,):
            # It dequantizes and then does what the plain layer does: less time than that is noise.
            cost = max(cost, plain.get(candidate.compute_dtype, cost))
        change = CHANGE[candidate.scheme.name] / (len(CHANGE) - 1)
        goal = cost + TIE_SHARE * least * change
        if not candidate.is_plain and request.provenance != "modelled":
            goal += DOUBT * request.uncertainty * request.value + candidate.time.launches_s
        found.append(replace(candidate, cost=cost, goal=goal))
    return found


def _shape_objection(members: Sequence[Linear], scheme: Scheme) -> str:
    """Why a member cannot be stored under the scheme; "" if all can."""
    found = (scheme.objection(member.n, member.k) for member in members)
    return next((words for words in found if words), "")


def _algorithm(scheme: Scheme, facts: Sequence[KernelFact]) -> str | None:
    """The algorithm of the largest codes that all kernels of a packing multiply exactly."""
    codes = [fact.max_code for fact in facts if fact.max_code is not None]
    return scheme.choose_algorithm(min(codes, default=None))
