"""Weights that were in memory before the last kernel began, so that the next may read them before that one has ended."""

from __future__ import annotations

import weakref
from threading import get_ident
from typing import NamedTuple

from torch import Tensor

from qprobe.kernels.cuda import driver


class _Seen(NamedTuple):
    """A weight as it was when launches waited for all before them."""

    tensors: tuple[weakref.ref[Tensor], ...]
    version: int
    where: list[int]
    streams: set[tuple[int, int]]
    """Those of the launches, and the threads: one name may stand for a stream of each thread."""


_seen: dict[int, _Seen] = {}
"""By the identity of the weight's first tensor."""


class Settled:
    """Whether the weight that a product is bound to is there, or may still be written to on the card.

    It is there for a stream when a launch on that has waited for all before it, and nobody has written to the weight since. Of a
    graph all launches come behind what was before it. What torch counts no versions of is not told from what was there: writes
    through `.data`, by other libraries, and by a graph that is replayed.
    """

    __slots__ = ("_asked", "_stream", "_tensors", "_version", "_where")

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        """Take words, scales and zero points."""
        self._tensors = tensors
        self._asked = self._version = -1
        self._where: list[int] = []
        self._stream = -1

    def ask(self, where: list[int], stream: int) -> bool:
        """Whether a launch on the stream may read the weight at once, which is at these addresses."""
        try:
            version = 0
            for tensor in self._tensors:
                version += tensor._version
        except RuntimeError:  # Of tensors of inference mode nobody counts what is written to them.
            self._asked = -1
            return False
        if version == self._version and stream == self._stream and where == self._where:
            return True
        self._asked = version
        return self._was_seen(where, stream)

    def keep(self, where: list[int], stream: int) -> None:
        """A launch that waits was put on the stream, for what was asked last. What is only captured waits for nothing yet."""
        if self._asked < 0 or driver.current().is_capturing():
            return
        key = id(self._tensors[0])
        kept = self._find(where)
        if kept is None:

            def forget(_: object) -> None:
                _seen.pop(key, None)

            refs = tuple(weakref.ref(tensor, forget) for tensor in self._tensors)
            kept = _seen[key] = _Seen(refs, self._asked, where, set())
        kept.streams.add((stream, get_ident()))
        self._version, self._where, self._stream = self._asked, where, stream

    def _was_seen(self, where: list[int], stream: int) -> bool:
        """Whether it is so by what another product has kept."""
        kept = self._find(where)
        if kept is None:
            return False
        if driver.current().is_capturing():
            return True
        if (stream, get_ident()) not in kept.streams:
            return False
        self._version, self._where, self._stream = self._asked, where, stream
        return True

    def _find(self, where: list[int]) -> _Seen | None:
        kept = _seen.get(id(self._tensors[0]))
        if kept is None or (kept.version, kept.where) != (self._asked, where):
            return None
        own = zip(kept.tensors, self._tensors, strict=False)
        return kept if all(ref() is tensor for ref, tensor in own) else None
