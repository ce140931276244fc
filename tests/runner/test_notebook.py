"""The public face: what `import batchlab` gives, how light it is, and what a notebook shows."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

import batchlab

TINY = ["dataset=digits", "model=mlp", "model.hidden=[8]", "train.epochs=1", "train.device=cpu"]


def test_import_is_light() -> None:
    code = (
        "import sys, batchlab\n"
        "assert {'runs', 'sweep', 'table', '__version__'} <= set(dir(batchlab))\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'pandas', 'hydra', 'numpy', 'typer', 'rich')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert batchlab.__version__ == version("batchlab")
    with pytest.raises(AttributeError, match="no attribute 'compose'"):
        batchlab.compose  # noqa: B018


@pytest.mark.slow
def test_a_sweep_its_rows_and_its_table(tmp_path: Path) -> None:
    frame = batchlab.sweep([*TINY, "optimizer=shb,nshb", "seed=0,1"], tmp_path)
    assert isinstance(frame, pd.DataFrame)
    assert (frame["run_id"].nunique(), set(frame["state"])) == (4, {"done"})
    again = batchlab.sweep(" ".join([*TINY, "optimizer=shb,nshb", "seed=0,1"]), tmp_path)
    pd.testing.assert_frame_equal(frame, again)
    few = batchlab.runs(tmp_path, where="optimizer=shb", keys="optimizer.lr")
    assert set(few["optimizer.lr"]) == {0.1}
    assert set(few["optimizer"]) == {"shb"}
    table = batchlab.table(tmp_path, rows="optimizer", metrics="test_accuracy")
    assert "nshb" in str(table)
    assert "<table" in table._repr_html_()
    tested = [
        batchlab.table(tmp_path, baseline=baseline).to_pandas() for baseline in ("optimizer=shb", ["optimizer=shb"])
    ]
    pd.testing.assert_frame_equal(*tested)
    with pytest.raises(ValueError, match="nope"):
        batchlab.runs(tmp_path, keys="nope.x")
    cells = table.to_pandas()
    last = frame.groupby(["optimizer", "run_id"], observed=True)["test_accuracy"].last()
    assert cells.set_index("optimizer")["mean"].to_dict() == pytest.approx(
        last.groupby("optimizer", observed=True).mean().to_dict()
    )


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder"):
        batchlab.runs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="name is letters"):
        batchlab.sweep(TINY, tmp_path, name="")


@pytest.mark.slow
def test_what_fails_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no choice"):
        batchlab.sweep("optimizer=nothing", tmp_path)
    with pytest.warns(UserWarning, match="not done: .* diverged"):
        batchlab.sweep([*TINY, "optimizer.lr=1e30"], tmp_path)
