"""What the report's page is made of beside numbers: templates, style and scripts, all inlined into one file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from batchlab.results.report.curves import SCRIPTS, STYLES
from batchlab.results.show.hypertext import coded

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


def fill(template: str, **values: Any) -> Markup:
    """A template of this package with values put in, each escaped unless it is markup already."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(**values))


def styles() -> Markup:
    """All style, in one block."""
    return Markup("\n".join(map(_asset, (*STYLES, "page.css"))))


def scripts() -> Markup:
    """All scripts, in one block; what they promise each other depends on their order."""
    return Markup("\n".join(map(_asset, (*SCRIPTS, "page.js"))))


def _asset(name: str) -> str:
    """A file as it is. None holds what would end the block that it is put into (a test sees to it)."""
    return (HERE / "assets" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # 0.1 s that only a report waits for

    loader = FileSystemLoader(HERE / "templates")
    made = Environment(autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["coded"] = lambda text: Markup(coded(text))
    return made
