"""What `batchlab table` makes of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchlab.results.compare import table
from batchlab.results.store.runs import RunStore
from batchlab.runner import cli


@pytest.mark.parametrize(
    ("options", "baseline"),
    [
        ([], None),
        (["--baseline", "optimizer=sgd"], "optimizer=sgd"),
        (["--baseline", "optimizer=sgd", "--baseline", "optimizer.lr=0.1"], "optimizer=sgd,optimizer.lr=0.1"),
        (["--baseline", "optimizer=sgd,optimizer.lr=0.1"], "optimizer=sgd,optimizer.lr=0.1"),
    ],
)
def test_baselines_join(
    options: list[str], baseline: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one given must not win without a word."""
    asked: dict[str, Any] = {}
    original = table.load_table

    def load_table(*arguments: Any, **more: Any) -> Any:
        asked.update(more)
        return original(*arguments, **more | {"baseline": None})

    monkeypatch.setattr(table, "load_table", load_table)
    monkeypatch.setattr(RunStore, "begun", lambda store, sweep: store)  # a table of nothing will do
    result = CliRunner().invoke(cli.app, ["table", "--runs", str(tmp_path), "--tuned", "optimizer.lr", *options])
    assert result.exit_code == 0, result.output
    assert (asked["baseline"], asked["tuned"]) == (baseline, "optimizer.lr")
