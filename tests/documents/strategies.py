"""Builds any document, from its fields: a new document or field is tested without an edit here."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import types
import typing
from datetime import UTC

import annotated_types
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

import qprobe.documents
from qprobe.documents.base import Document, TopDocument
from qprobe.documents.finding import Fix
from qprobe.documents.machine import MEASURED, Cpu, Fingerprint, Machine
from qprobe.documents.model import KvWindow, Linear, Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import (
    Alternative,
    Assignment,
    Choice,
    GroupPlan,
    KernelRange,
    Plan,
    PlannedModel,
    Section,
)
from qprobe.documents.scheme import SCHEMES, Scheme

WORDS = st.text(max_size=12)
WHOLE = st.integers(min_value=-(2**53), max_value=2**53)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


def find_documents() -> tuple[type[Document], ...]:
    """Every document class, the nested ones too, in name order."""
    for module in pkgutil.iter_modules(qprobe.documents.__path__):
        importlib.import_module(f"qprobe.documents.{module.name}")
    kinds, found = [Document], []
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
        if kind not in (Document, TopDocument) and kind.__module__.startswith("qprobe.documents."):
            found.append(kind)
    return tuple(sorted(found, key=lambda kind: kind.__name__))


DOCUMENTS = find_documents()
TOP_DOCUMENTS = tuple(kind for kind in DOCUMENTS if issubclass(kind, TopDocument))


def documents(kind: type[Document]) -> st.SearchStrategy[Document]:
    """Valid documents of a kind."""
    special = SPECIAL.get(kind)
    return special() if special else st.deferred(lambda: st.builds(kind, **fields(kind)))


def fields(kind: type[Document]) -> dict[str, st.SearchStrategy[object]]:
    return {name: values(field_type(field)) for name, field in kind.model_fields.items()}


def field_type(field: FieldInfo) -> object:
    """The annotation with its constraints, which pydantic keeps apart."""
    annotation: object = field.annotation
    for constraint in field.metadata:
        annotation = typing.Annotated[annotation, constraint]
    return annotation


def values(annotation: object) -> st.SearchStrategy[object]:
    """Valid values of an annotation."""
    inner, constraints = constrained(annotation)
    if inner is AwareDatetime:
        return st.datetimes(timezones=st.just(UTC))
    origin, arguments = typing.get_origin(inner), typing.get_args(inner)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3, min_size=least(constraints)).map(tuple)
    if origin is dict:
        keys, items = (values(argument) for argument in arguments)
        return st.dictionaries(keys, items, max_size=2, min_size=least(constraints))
    if isinstance(inner, type) and issubclass(inner, Document):
        return documents(inner)
    return scalars(inner, constraints)


def constrained(annotation: object) -> tuple[object, list[object]]:
    """An annotation without its constraints, and these."""
    constraints: list[object] = []
    while typing.get_origin(annotation) is typing.Annotated:
        annotation, *extras = typing.get_args(annotation)
        for extra in extras:
            constraints.extend(extra.metadata if isinstance(extra, FieldInfo) else [extra])
    return annotation, constraints


def least(constraints: list[object]) -> int:
    return max(
        (c.min_length for c in constraints if isinstance(c, annotated_types.MinLen)), default=0
    )


def lower_bound(constraints: list[object]) -> tuple[float | None, bool]:
    """The least value allowed, and whether it is itself refused."""
    for constraint in constraints:
        if isinstance(constraint, annotated_types.Ge):
            return constraint.ge, False
        if isinstance(constraint, annotated_types.Gt):
            return constraint.gt, True
    return None, False


def scalars(kind: object, constraints: list[object]) -> st.SearchStrategy[object]:
    bound, excluded = lower_bound(constraints)
    pattern = next((c.pattern for c in constraints if getattr(c, "pattern", None)), None)
    if kind is str:
        return st.from_regex(pattern.replace("$", r"\Z"), fullmatch=True) if pattern else WORDS
    if kind is int:
        return st.integers(min_value=-(2**53) if bound is None else bound, max_value=2**53)
    if kind is float:
        return st.floats(
            min_value=bound, exclude_min=excluded, allow_nan=False, allow_infinity=False
        )
    return {bool: st.booleans(), object: JSON, type(None): st.none()}[kind]


@st.composite
def kernels(draw: st.DrawFn) -> tuple[KernelRange, ...]:
    """Ranges of M that follow one another."""
    ends = sorted(draw(st.sets(st.integers(min_value=1, max_value=4096), max_size=2)))
    starts = [1, *(end + 1 for end in ends)]
    return tuple(
        KernelRange(kernel=draw(WORDS), m_min=start, m_max=end)
        for start, end in zip(starts, [*ends, None], strict=True)
    )


def group_plans() -> st.SearchStrategy[GroupPlan]:
    return st.builds(GroupPlan, **fields(GroupPlan) | {"kernels": kernels()})


def choices(groups: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[Choice]:
    return st.builds(
        Choice,
        scheme=st.sampled_from(list(SCHEMES)),
        algorithm=WORDS,
        kernels=kernels(),
        groups=groups,
    )


@st.composite
def alternatives(draw: st.DrawFn, groups: list[str]) -> Alternative:
    """No choice, or one for each group."""
    found = draw(documents(Alternative))
    middle = draw(st.integers(0, len(groups)))
    parts = [tuple(part) for part in (groups[:middle], groups[middle:]) if part]
    chosen = tuple(draw(choices(st.just(part))) for part in parts) if draw(st.booleans()) else ()
    return found.model_copy(update={"choices": chosen})


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A section a device, and a decision a group."""
    groups = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    assignments = tuple(
        Assignment(tensor=f"{group}.{number}.weight", group=group, n=8, k=16)
        for group in groups
        for number in range(draw(st.integers(1, 2)))
    )
    devices = draw(
        st.lists(documents(Fingerprint), min_size=1, max_size=2, unique_by=lambda f: f.slug)
    )
    targets = {}
    for device in devices:
        decided = {group: draw(group_plans()) for group in groups}
        section = draw(st.builds(Section, **fields(Section)))
        parts = {
            "fingerprint": device,
            "groups": decided,
            "alternatives": tuple(draw(st.lists(alternatives(groups), max_size=2))),
        }
        targets[device.slug] = section.model_copy(update=parts)
    return Plan(
        model=draw(documents(PlannedModel)),
        objective=draw(documents(Objective)),
        sensitivity_hash=draw(st.none() | WORDS),
        assignments=assignments,
        primary=devices[0].slug,
        targets=targets,
    )


@st.composite
def linears(draw: st.DrawFn) -> Linear:
    """The numbers that the rule of rows asks for, and no others."""
    rest = {name: draw(s) for name, s in fields(Linear).items()}
    rest |= {"count": 1, "top_k": None, "frames": None}
    if rest["rows"] == "experts":
        rest["top_k"] = draw(st.integers(1, 8))
        rest["count"] = rest["top_k"] + draw(st.integers(0, 8))
    if rest["rows"] == "frames":
        rest["frames"] = draw(st.integers(1, 2**20))
    return Linear(**rest)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """No tensor twice, and windows of no more than the cache."""
    found = draw(st.lists(documents(Linear), max_size=3, unique_by=lambda one: one.tensor))
    rest = {name: draw(s) for name, s in fields(Model).items() if name != "linears"}
    cache = rest["kv_elements_per_token"]
    inside = draw(st.integers(0, min(cache, 2**20)))
    window = {"elements_per_token": inside, "tokens": draw(st.integers(1, 2**20))}
    rest["kv_windows"] = (KvWindow(**window),) if inside else ()
    return Model(linears=tuple(found), **rest)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Written from tables, nothing is measured."""
    rest = {name: draw(s) for name, s in fields(Machine).items()}
    if rest["origin"] == "tables":
        nothing = dict.fromkeys(MEASURED)
        rest["cpu"] = draw(documents(Cpu)).model_copy(update=nothing)
    return Machine(**rest)


@st.composite
def fixes(draw: st.DrawFn) -> Fix:
    """A label for each command, or none."""
    rest = {name: draw(s) for name, s in fields(Fix).items()}
    several = len(rest["commands"])
    rest["labels"] = draw(st.just(()) | st.tuples(*(WORDS for _ in range(several))))
    return Fix(**rest)


SPECIAL: dict[type[Document], typing.Callable[[], st.SearchStrategy[Document]]] = {
    Scheme: lambda: st.sampled_from(list(SCHEMES.values())),
    GroupPlan: group_plans,
    Choice: lambda: choices(st.lists(WORDS, min_size=1, max_size=3).map(tuple)),
    Plan: plans,
    Linear: linears,
    Model: models,
    Machine: machines,
    Fix: fixes,
}


@functools.cache
def simplest(kind: type[Document]) -> Document:
    """The same small valid document of a kind, always."""
    quiet = settings(
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return find(documents(kind), lambda _: True, settings=quiet)
