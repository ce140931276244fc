"""The public face: what `import batchlab` gives, how light it is, and what a notebook shows."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import yaml
from runs import one

import batchlab
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner.plan.schema import axes_of

TINY = ["dataset=digits", "model=mlp", "model.hidden=[8]", "train.epochs=1", "train.device=cpu"]


def test_import_is_light() -> None:
    code = (
        "import sys, batchlab\n"
        "assert {'plot', 'runs', 'sweep', 'table', '__version__'} <= set(dir(batchlab))\n"
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


def run_of(store: RunStore, sweep: str, *overrides: str) -> None:
    """A run that is done, with two rows, in a sweep."""
    planned = one(*overrides)
    run = store.run(planned.run_id)
    run.write_config(yaml.safe_dump(planned.tree))
    with Recorder(run) as recorder:
        for samples in (0, 10):
            row = {"samples": samples, "steps": samples, "epoch": samples / 10, "test_accuracy": 0.5, "lr": 7.0}
            recorder.write("metrics", row)
        run.write_state(state=State.DONE)
        recorder.seal(axes_of(planned.tree) | {"run_id": run.run_id}, planned.tree)
    entries = store.sweep(sweep).entries if sweep in store.sweeps() else []
    store.write_sweep(sweep, [*entries, SweepEntry(run.run_id, overrides=list(overrides))])


def test_every_key_that_was_swept_is_a_column(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run_of(store, "one", "optimizer=shb", "optimizer.momentum=0.5", "seed=3")
    run_of(store, "one", "optimizer=adam", "optimizer.lr=1e-3", "+note=slow")
    run_of(store, "two", "optimizer=adam", "batch_schedule.size=32")
    frame = batchlab.runs(tmp_path)
    swept = ["optimizer.momentum", "optimizer.lr", "note", "batch_schedule.size"]
    assert set(swept) <= set(frame.columns)
    by_run = frame.groupby("run_id", observed=True)[["seed", *swept]].first()
    assert len(frame) == 6
    assert sorted(by_run["seed"]) == [0, 0, 3]
    assert sorted(by_run["batch_schedule.size"]) == [32, 128, 128]
    assert by_run["optimizer.momentum"].dropna().tolist() == [0.5], "adam has none"
    assert by_run["note"].dropna().tolist() == ["slow"]
    assert frame["optimizer.lr"].dtype == float
    assert set(frame["optimizer.lr"]) >= {1e-3}
    assert "batch_schedule.size" not in batchlab.runs(tmp_path, sweep="one")


def test_a_plot_is_a_figure_that_notebooks_show(tmp_path: Path) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib.figure import Figure

    run_of(RunStore(tmp_path), "one", "optimizer=shb")
    run_of(RunStore(tmp_path), "one", "optimizer=adam")
    figure = batchlab.plot(tmp_path, x=["samples", "steps"], hue=["optimizer", "optimizer.lr"])
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 2
    shell = InteractiveShell.instance()
    try:
        shell.display_formatter.active_types = ["text/plain", "text/html", "image/png"]  # as a notebook's
        shell.push({"batchlab": batchlab, "folder": tmp_path})
        shell.run_cell("figure, table = batchlab.plot(folder), batchlab.table(folder)", silent=True).raise_error()
        figure, table = (shell.display_formatter.format(shell.user_ns[name])[0] for name in ("figure", "table"))
        assert figure["image/png"][:4] == b"\x89PNG"
        assert "<table" in table["text/html"]
    finally:
        InteractiveShell.clear_instance()
    with pytest.raises(ValueError, match="no x-axis hours"):
        batchlab.plot(tmp_path, x="hours")
    with pytest.raises(ValueError, match="no run has the"):
        batchlab.plot(tmp_path, metric="test_acuracy")
