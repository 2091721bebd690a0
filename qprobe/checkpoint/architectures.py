"""Finds a tensor of a checkpoint, or a module, in the tables of the known families."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from qprobe._discover import discover
from qprobe.checkpoint import families
from qprobe.checkpoint.families._family import Family, Row

FAMILIES: dict[str, Family] = {family.model_type: family for family in discover(families, "FAMILY")}
"""`model_type` of config.json → what is known of it."""

WEIGHT = ".weight"


_EXPERTS = re.compile(r"\.\{0\.\.\d+\}", re.ASCII)
EVERY_EXPERT = "{}"
"""Stands for the number of the expert in the name that all experts of a layer share."""


@dataclass(frozen=True, slots=True)
class Match:
    """A name that a row describes: what stands before the pattern, and its numbers."""

    row: Row
    prefix: str
    layers: tuple[str, ...]
    """The numbers that `*` stands for, in order."""
    expert: str | None = None
    """The number that `#` stands for."""

    def name(self, pattern: str) -> str:
        """The name that a pattern gives with these numbers, and `{}` for that of the expert."""
        numbers = iter(self.layers)
        parts = pattern.replace("#", EVERY_EXPERT).split(".")
        return self.prefix + ".".join(next(numbers) if part == "*" else part for part in parts)

    @property
    def weight(self) -> str:
        """The name of the weight in the file."""
        return self.name(self.row.pattern) + suffix_of(self.row)


def suffix_of(row: Row) -> str:
    """What follows the pattern in the weight's name: nothing where all experts are one tensor."""
    return "" if row.rows == "experts" and "#" not in row.pattern else WEIGHT


def match_tensor(family: Family, architecture: str, tensor: str) -> Match | None:
    """The first row that describes this weight, or None where it is no linear of the table."""
    shape, numbers = _shape(tensor)
    row = _find(family.model_type, architecture, shape)
    if row is None:
        return None
    stars = [part for part in row.pattern.split(".") if part in "*#"]
    inside = dict(enumerate(numbers[len(numbers) - len(stars) :]))
    expert = inside.pop(stars.index("#")) if "#" in stars else None
    prefix = _prefix(tensor.removesuffix(suffix_of(row)), row.pattern)
    return Match(row, prefix, tuple(inside.values()), expert)


def match_modules(family: Family, architecture: str, path: str) -> tuple[Match, ...]:
    """The rows whose weights a live module's linear or tensor at `path` holds.

    Several where one tensor holds what files keep apart; none where the table does not know it.
    """
    direct = match_tensor(family, architecture, path + WEIGHT)
    if direct is not None:
        return (direct,)
    shape, numbers = _shape(path)
    found: list[Match] = []
    for row in family.rows:
        if row.module and row.only in architecture and _ends(shape, row.module):
            inside = row.module.split(".").count("*")
            layers = numbers[len(numbers) - inside :]
            found.append(Match(row, _prefix(path, row.module), layers))
    if not found:
        fused = match_tensor(family, architecture, path)
        return (fused,) if fused is not None else ()
    return tuple(found)


def is_one_of(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a name, without `.weight`, is described by one of the patterns."""
    shape, _ = _shape(name)
    return any(_ends(shape, pattern) for pattern in patterns)


def group_of(row: Row, tensor: str) -> str:
    """The fusion group's name: the parent module's and what is fused, or the tensor's own."""
    if not row.fuses:
        return tensor
    parent = tensor.removesuffix(WEIGHT).rpartition(".")[0]
    return f"{_EXPERTS.sub('', parent)}.{row.fuses}"


def _prefix(name: str, pattern: str) -> str:
    kept = name.split(".")[: -len(pattern.split("."))]
    return "".join(f"{part}." for part in kept)


def _shape(name: str) -> tuple[str, tuple[str, ...]]:
    """The name with `*` for each part that is a number, and these; nothing of a name that has such a part itself."""
    parts = name.split(".")
    if "*" in parts:
        return "", ()
    numbers = tuple(part for part in parts if part.isascii() and part.isdigit())
    if not numbers:
        return name, ()
    shape = ("*" if part.isascii() and part.isdigit() else part for part in parts)
    return ".".join(shape), numbers


@lru_cache(maxsize=4096)
def _find(model_type: str, architecture: str, shape: str) -> Row | None:
    for row in FAMILIES[model_type].rows:
        if row.only in architecture and _ends(shape, row.pattern + suffix_of(row)):
            return row
    return None


def _ends(shape: str, pattern: str) -> bool:
    """Whether the shape of a name is the pattern after any parts that names are made of."""
    body = pattern.replace("#", "*")
    if shape == body:
        return True
    if not shape.endswith(f".{body}"):
        return False
    before = shape[: -len(body) - 1].split(".")
    return all(part == "*" or (part.isascii() and _is_word(part)) for part in before)


def _is_word(part: str) -> bool:
    return bool(part) and part.replace("_", "a").isalnum()
