"""A page of interactive curves, so that they are tested without the report around them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchlab.results.report.curves import ASSETS, SCRIPTS, STYLES, encode

CHROMIUM = Path("/usr/bin/chromium")
MOUNT = "document.querySelectorAll('figure.curves').forEach(batchlab.curves)"


def write_page(path: Path, payloads: Sequence[dict[str, Any]], between: str = "") -> Path:
    """One figure a payload, with everything that it needs inline."""
    styles = "".join((ASSETS / name).read_text() for name in (*STYLES, "page.css"))
    scripts = "".join(f"<script>{(ASSETS / name).read_text()}</script>" for name in SCRIPTS)
    figures = between.join(
        f"<figure class='curves' id='c{i}'><div class='static'>as drawn in Python</div>"
        f"<script type='application/json' class='curves-data'>{encode(one)}</script></figure>"
        for i, one in enumerate(payloads)
    )
    title = html.escape(str(payloads[0]["title"]))
    path.write_text(
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<style>{styles}</style></head><body><main><h1>Curves</h1>{figures}</main>{scripts}"
        f"<script>{MOUNT}</script></body></html>",
        encoding="utf-8",
    )
    return path
