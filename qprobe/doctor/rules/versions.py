"""Compares versions with ranges such as ">=0.14,<0.17"."""

from __future__ import annotations

import operator
import re

from qprobe.doctor._check import version_of

_COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip
_CLAUSE = re.compile(r"(<=|>=|==|!=|<|>)(\d+(?:\.\d+)*)")


def matches(version: str, wanted: str) -> bool:
    """Whether the version lies in the range; one that tells no number lies in none.

    "==2.13" means 2.13.0, and "<=0.44" takes in 0.44.1: as many numbers as the range has are compared.
    Raises ValueError for what is no range.
    """
    numbers = version_of(version)
    for clause in filter(None, wanted.split(",")):
        found = _CLAUSE.fullmatch(clause.strip())
        if found is None:
            raise ValueError(f"{clause!r} is no range of versions")
        limit = version_of(found[2])
        if not numbers or not _COMPARE[found[1]](_cut(numbers, len(limit)), limit):
            return False
    return True


def _cut(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*numbers, *(0,) * length)[:length]
