"""A page of interactive curves, so that they are tested without the report around them."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from batchlab.results.report.curves import ASSETS, SCRIPTS, STYLES, encode

CSS = """
:root { --paper: #ffffff; --card: #f6f8fa; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0d1117; --card: #161b22; --ink: #e6edf3; --soft: #9198a1; --line: #30363d; --accent: #58a6ff; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 0 28px; }
"""
"""The colours of the report."""
MOUNT = "document.querySelectorAll('figure.curves').forEach(batchlab.curves)"


def write_page(path: Path, payloads: Sequence[dict[str, Any]], between: str = "") -> Path:
    """One figure a payload, with everything that it needs inline."""
    styles = CSS + "".join((ASSETS / name).read_text() for name in STYLES)
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


@contextmanager
def opening(chromium: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page as often as is asked for; at the end no script has failed and none asked the network."""
    contexts, errors = [], []

    def at(view: str = "", width: int = 1200, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        own = ("file:", "data:", "blob:")
        page.on("request", lambda asked: errors.append(asked.url) if not asked.url.startswith(own) else None)
        page.goto(f"{file.as_uri()}{view}")
        return page

    yield at
    for context in contexts:
        context.close()
    assert errors == []


def near(found, wanted):
    """Whether numbers are equal, to what 32 bits hold of those that they were made of."""
    size = np.nanmax(np.abs(wanted), initial=0)  # the end of an interval may lie at 0
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * size, equal_nan=True)


def rows_of(rng, n, *, pace=1.0, step=64):
    """Rows of three metrics: a share, a loss with a trend, and a gap that ends in rounding."""
    losses = 2 * np.exp(-np.arange(n) / 5) * np.exp(0.2 * rng.normal(size=n)) + 0.01
    seconds = np.cumsum(rng.uniform(0.3, 0.7, n)) * pace
    rows = [
        {"samples": step * i, "steps": 2 * i, "epoch": float(i), "gradients": 2 * step * i}
        | {"train_seconds": float(seconds[i]), "train_loss": float(loss), "gap": float(loss - 0.06)}
        | {"test_accuracy": float(np.clip(1 - loss / 3, 0, 1))}
        for i, loss in enumerate(losses)
    ]
    if n > 4:
        rows[3]["train_seconds"] = rows[2]["train_seconds"]  # a clock that stood still
    return rows
