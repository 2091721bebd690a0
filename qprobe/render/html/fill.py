"""Fills a template: everything from a document is escaped, and shown as it is."""

from __future__ import annotations

import importlib.util
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qprobe.errors import UnavailableError
from qprobe.render.charts.drawing import Symbol
from qprobe.render.page import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_PLAIN_LINK = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9._~/?#@!$&()*+,;=%:-]*)?")

_FIGURE = re.compile(r"(\d) (?=(?:[nµm]?s|[KMGT]?i?B|[KMGTP]B/s|[MGTP]OPS|%)(?![A-Za-z]))")

_STEP = re.compile(r"(?:^|\s+)\(([1-9])\)\s+")


def require_html() -> None:
    """Raise UnavailableError, with the line that installs it, where jinja2 is missing."""
    if importlib.util.find_spec("jinja2") is None:
        raise UnavailableError(
            "an HTML page was asked for, and jinja2 is not installed",
            "pip install 'qprobe[report]'",
        )


def fill(template: str, **values: Any) -> str:
    """The page of a template."""
    require_html()
    return _environment().get_template(template).render(**values)


def is_plain_link(text: str) -> bool:
    """Whether it is an https address and nothing else, so that following it runs nothing."""
    return _PLAIN_LINK.fullmatch(text) is not None


def keep_units(text: str) -> str:
    """The text with figures that do not part from their units at the end of a line."""
    return _FIGURE.sub("\\1\u00a0", text)


def steps_in(text: str) -> tuple[str, tuple[str, ...]]:
    """The text before "(1)", and what stands behind (1), (2) and so on; no steps where there are none."""
    lead, *rest = _STEP.split(text)
    numbers, steps = rest[::2], rest[1::2]
    if len(steps) < 2 or numbers != [str(index + 1) for index in range(len(steps))]:
        return text, ()
    return lead, tuple(steps)


def in_utc(moment: datetime, form: str) -> str:
    """The moment as UTC tells it; as it was written where UTC's calendar does not reach it."""
    try:
        return moment.astimezone(UTC).strftime(form)
    except OverflowError:
        return moment.strftime(form)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("qprobe.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # A macro gives Markup, which is escaped already.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["short"] = lambda value: f"{value:.1f}".removesuffix(".0")
    environment.filters["steps"] = steps_in
    environment.filters["firm"] = keep_units
    environment.filters["utc"] = in_utc
    environment.filters["outline"] = lambda shape: Symbol(0, 0, shape, "").commands
    environment.tests["plain_link"] = is_plain_link
    return environment
