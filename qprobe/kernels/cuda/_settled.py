"""Weights that were in memory before the last kernel began, so that the next may read them before that one has ended."""

from __future__ import annotations

import weakref

from torch import Tensor

_seen: dict[int, tuple[weakref.ref[Tensor], tuple[int, ...]]] = {}
"""Of the words of each weight: what was there when a launch waited for all before it."""


class Settled:
    """Whether the weights that a product is bound to are there, or may still be written to on the card."""

    __slots__ = ("_others", "_version", "_where", "_words")

    def __init__(self, words: Tensor, others: tuple[Tensor, ...]) -> None:
        """Take the words, and scales and zero points."""
        self._words, self._others = words, others
        self._version, self._where = -1, -1

    def ask(self, where: int) -> bool:
        """Whether a launch has waited for them as they are now; if not, the one that follows must.

        `where` is the address of the words. What is written through `.data` is not told from what was there.
        """
        try:
            version = self._words._version
            for other in self._others:
                version += other._version
        except RuntimeError:
            return False  # Of tensors of inference mode nobody counts what is written to them.
        if version == self._version and where == self._where:
            return True
        self._version, self._where = version, where
        return self._was_seen((version, where, *(id(other) for other in self._others)))

    def _was_seen(self, now: tuple[int, ...]) -> bool:
        """Whether it was so for the last product that was bound to them."""
        words, key = self._words, id(self._words)
        kept = _seen.get(key)
        if kept is not None and kept[1] == now and kept[0]() is words:
            return True
        _seen[key] = (weakref.ref(words, lambda _: _seen.pop(key, None)), now)
        return False
