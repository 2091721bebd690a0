"""What the merges share: PEFT, and what bitsandbytes offers it."""

from __future__ import annotations

NEEDS = ("torch", "peft", "bitsandbytes")


def load_peft() -> None:
    """Import both."""
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
