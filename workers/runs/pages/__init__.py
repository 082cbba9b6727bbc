"""Reports as single HTML pages: nothing is loaded from elsewhere, nothing runs, every text is escaped.

A template extends `page.html`, which brings the style, the title and the note on content.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workers.verdicts.show import printable

HERE = Path(__file__).parent


def render(template: str, **values: object) -> str:
    """The page that the template makes of these values; a value it asks for and does not get is an error."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_controls,
    )
    environment.filters.update(moment=_moment, count=_count, probability=_probability)
    environment.globals["style"] = Markup((HERE / "style.css").read_text(encoding="utf-8"))  # noqa: S704  # our own file
    return environment


def _without_controls(value: object) -> object:
    """Streamers' text must not turn the reading direction of the page round it."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(value: datetime) -> str:
    """`2026-03-10 20:00:00`, in UTC."""
    return f"{value.astimezone(UTC):%F %T}"


def _count(value: float) -> str:
    """`12,345`."""
    return f"{value:,.0f}"


def _probability(value: float) -> str:
    """`0.87`: two places, and never 1.00 or 0.00 of what is not quite certain."""
    return f"{min(max(value, 0.01), 0.99):.2f}" if 0 < value < 1 else f"{value:.2f}"
