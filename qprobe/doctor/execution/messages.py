"""What goes between the doctor, the process that starts others, and the process of a method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, TypeAdapter, ValidationError

from qprobe.documents.base import Count, Document, Positive
from qprobe.documents.finding import Speed, Trial


class Request(Document):
    """Which method to run, and how."""

    package: str
    """The package whose folder lists the methods."""
    method: str
    device: str
    is_full: bool
    done: tuple[str, ...]
    """Steps that are not to be run again: they were, or took the process with them."""
    memory_bytes: Positive


class Ended(Document):
    """How a process ended: its status as `os.wait4` gives it."""

    status: int
    peak_bytes: Count


class Begin(Document):
    """A step begins; the last one that began is to blame when the process dies."""

    event: Literal["begin"] = "begin"
    name: str


class End(Document):
    """A step is over."""

    event: Literal["end"] = "end"
    trial: Trial


class Timed(Document):
    """A layer was timed: that was its step."""

    event: Literal["timed"] = "timed"
    speed: Speed


class Done(Document):
    """The script came to its end."""

    event: Literal["done"] = "done"


Message = Begin | End | Timed | Done
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Discriminator("event")])


def parse_message(line: bytes) -> Message | None:
    """The message of a line; None where something else than the script wrote it."""
    try:
        return _MESSAGE.validate_json(line)
    except ValidationError:
        return None
