"""JSON Schemas of the documents that are written to files: `python -m qprobe.documents.schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qprobe.documents.base import TopDocument
from qprobe.documents.files import write_text
from qprobe.documents.finding import Diagnosis
from qprobe.documents.machine import Machine
from qprobe.documents.model import Model
from qprobe.documents.plan import Plan
from qprobe.documents.profile import Profile
from qprobe.documents.receipt import Receipt
from qprobe.documents.sensitivity import Sensitivity

KINDS: tuple[type[TopDocument], ...] = (
    Diagnosis,
    Machine,
    Model,
    Plan,
    Profile,
    Receipt,
    Sensitivity,
)
FOLDER = Path(__file__).with_name("schemas")


def make_schema(kind: type[TopDocument]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document's file."""
    schema = kind.model_json_schema()
    del schema["properties"]["qprobe_version"]["default"]  # a release does not change the form
    schema["required"] = ["schema_version", *schema["required"]]  # as reading a file demands
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schemas(folder: Path) -> None:
    """Write one file a kind of document into `folder`."""
    for kind in KINDS:
        text = json.dumps(make_schema(kind), indent=2, ensure_ascii=False) + "\n"
        write_text(text, folder / f"{kind.__name__.lower()}.json")


if __name__ == "__main__":
    write_schemas(FOLDER)
