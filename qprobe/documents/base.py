"""What every document has in common: frozen, closed, finite, versioned."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from qprobe._version import __version__

Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(ge=0, strict=True)]
# Nothing here is counted further, and what counts further cannot be divided.
Count = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
Positive = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True)]
FloatDtype = Literal["float64", "float32", "bfloat16", "float16"]
Dtype = Literal["float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "int8",
                "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]  # fmt: skip
Provenance = Literal["measured", "recorded", "modelled"]

DTYPE_BYTES: dict[str, int] = {
    "float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
    "uint64": 8, "bool": 1,
}  # fmt: skip


class Document(BaseModel):
    """A frozen record that refuses unknown fields, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TopDocument(Document):
    """A document that is written to a file of its own."""

    schema_version: Literal[1] = 1
    qprobe_version: str = __version__
    created_utc: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    def content_hash(self) -> str:
        """SHA-256, 16 hex digits, of everything but the time and the version of the writer."""
        content = self.model_dump_json(exclude={"created_utc", "qprobe_version"})
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def escape_bytes(text: str) -> str:
    """The text with bytes that are no UTF-8, which the system hands on as lone surrogates, escaped.

    Documents are written in UTF-8, which has no surrogates.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Quantity(Document):
    """A figure, where it comes from, and by how much it may be off.

    `uncertainty` is relative: 0.1 means that the truth is expected within ±10 %.
    """

    value: Annotated[float, Field(strict=True)]
    provenance: Provenance
    uncertainty: Annotated[float, Field(ge=0, strict=True)]
