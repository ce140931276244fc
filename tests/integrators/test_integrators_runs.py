"""`batchlab sweep`: a scheme's run is the same over ranks and micro-batches, and counts what it evaluated."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner import commands

EVALUATIONS = {"heun": 2, "rk4": 4, "taylor": 1}
SAMPLES = 600
GRID = (
    f"optimizer={','.join(EVALUATIONS)}",
    "nproc=1,2",
    "train.micro_batch=512,13",
    "optimizer.lr=0.1",
    "model=mlp",
    "model.hidden=[16]",
    "dataset=digits",
    "batch_schedule.size=97",
    f"train.samples={SAMPLES}",
    "log.evaluate_every=0.2",
    "train.precision=float64",
    "train.device=cpu",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, int], list[dict[str, Any]]]:
    """(optimizer, ranks, micro-batch) -> its rows."""
    root = tmp_path_factory.mktemp("runs")
    assert commands.sweep(GRID, root, commands.SweepOptions(), "grid") == 0
    found = {}
    for run in RunStore(root).runs():
        assert run.read_state().state is State.DONE
        table = pq.read_table(run.metrics)
        config = json.loads(table.schema.metadata[b"batchlab.config"])
        key = (config["optimizer"]["name"], config["nproc"], config["train"]["micro_batch"])
        found[key] = table.to_pylist()
    return found


@pytest.mark.parametrize("name", EVALUATIONS)
def test_ranks_and_micro_batches_change_nothing(
    name: str, runs: dict[tuple[str, int, int], list[dict[str, Any]]]
) -> None:
    alone = runs[name, 1, 512]
    assert alone[-1]["test_loss"] < alone[0]["test_loss"], "the comparison means nothing if nothing was learnt"
    for key in ((name, 1, 13), (name, 2, 512), (name, 2, 13)):
        assert len(runs[key]) == len(alone)
        for row, expected in zip(runs[key], alone, strict=True):
            for column in ("samples", "steps", "gradients", "test_loss", "test_accuracy"):
                assert row[column] == pytest.approx(expected[column], rel=1e-10), (key, column)
        losses = [row["train_loss"] for row in alone[1:]]  # the first row is before the first step
        assert [row["train_loss"] for row in runs[key][1:]] == pytest.approx(losses, rel=1e-10)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_gradients_counts_evaluations(name: str, runs: dict[tuple[str, int, int], list[dict[str, Any]]]) -> None:
    for rows in (rows for key, rows in runs.items() if key[0] == name):
        assert [row["gradients"] for row in rows] == [EVALUATIONS[name] * row["samples"] for row in rows]
        assert rows[-1]["samples"] == SAMPLES
