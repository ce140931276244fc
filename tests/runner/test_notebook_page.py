"""What docs/notebook.md shows runs as it stands, its SQL included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pages import blocks

import batchlab

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "notebook.md").read_text()


@pytest.mark.slow
def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb
    from matplotlib.figure import Figure

    monkeypatch.chdir(tmp_path)
    (python,) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(python, names)
    frame = names["frame"]
    assert set(frame["optimizer.lr"]) == {0.03, 0.1}
    assert len(frame) == 24
    assert len(batchlab.runs()) == 30
    assert "<table" in names["table"]._repr_html_()
    assert isinstance(names["figure"], Figure)
    assert len(names["figure"].axes) == 2
    first, second = (duckdb.sql(text).df() for text in blocks(PAGE, "sql"))
    rows = batchlab.runs()
    best = rows.groupby(["optimizer", "seed"], observed=True)["test_accuracy"].max()
    assert dict(zip(zip(first["optimizer"], first["seed"], strict=True), first["best"], strict=True)) == best.to_dict()
    assert list(first["norm"].isna()) == [True, True, False, False]
    last = rows[rows["epoch"] == 2].groupby(["optimizer", "optimizer.lr"], observed=True)["test_accuracy"].mean()
    means = zip(zip(second["optimizer"], second["lr"], strict=True), second["accuracy"], strict=True)
    assert dict(means) == pytest.approx(last.to_dict())
