"""TensorBoard, MLflow and Weights & Biases hold what the Parquet holds, also of runs that were cut off or are over."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import frozen, rows, trained

from batchlab.results.store.run import Run
from batchlab.runner.export import export
from batchlab.runner.runs import Chosen

SETUP = ("log.evaluate_every=0.5", "train.epochs=2", "optimizer.lr=0.05")
Told = dict[int, dict[str, float]]
"""Step -> column -> number."""


def parquet(run: Run) -> Told:
    told = [{k: v for k, v in row.items() if isinstance(v, (int, float))} for row in rows(run, times=True)]
    return {row["steps"]: {key: float(value) for key, value in row.items() if key != "seed"} for row in told}


def tensorboard(run: Run) -> Told:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run.folder / "tensorboard"))
    read.Reload()
    told: Told = {}
    for column in read.Tags()["scalars"]:
        for event in read.Scalars(column):
            assert column not in told.setdefault(event.step, {})
            told[event.step][column] = event.value
    assert "optimizer.lr | 0.05" in str(read.Tensors("config/text_summary")[0].tensor_proto)
    return told


def mlflow(run: Run) -> Told:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{(run.folder.parent / 'mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("batchlab")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.tags["batchlab.run_id"] == run.run_id
    assert found.data.params["optimizer.lr"] == "0.05"
    assert found.info.status == "FINISHED"
    told: Told = {}
    for column in found.data.metrics:
        for metric in client.get_metric_history(found.info.run_id, column):
            assert column not in told.setdefault(metric.step, {})
            told[metric.step][column] = metric.value
    return told


def records(content: bytes) -> Iterator[bytes]:
    """What an offline file holds: a header of 7 bytes, then LevelDB's log format, in blocks of 32 KiB."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # no room for a header: the block is filled up
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # full, last
            yield whole
            whole = b""


def wandb(run: Run) -> Told:
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = (run.folder / "wandb").glob("offline-run-*/*.wandb")
    told: Told = {}
    for content in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            assert items["_step"] not in told
            told[items["_step"]] = {key: float(value) for key, value in items.items() if not key.startswith("_")}
    return told


READ: dict[str, Callable[[Run], Told]] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
CASES = [name if name == "tensorboard" else pytest.param(name, marks=pytest.mark.slow) for name in READ]


def same(one: Told, other: Told) -> bool:
    return one.keys() == other.keys() and all(
        one[step].keys() == other[step].keys()
        and all(math.isclose(one[step][key], other[step][key], rel_tol=1e-6) for key in one[step])
        for step in one
    )


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_was_cut_off_is_told_as_it_became(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    run, config = frozen(tmp_path, *SETUP, f"callback={name}")
    assert trained(run, config, stop_after=9) == "interrupted"
    assert trained(run, config) == "done"
    assert same(READ[name](run), parquet(run))
    assert len(parquet(run)) == 5


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_is_over_is_told_afterwards(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    run, config = frozen(tmp_path, *SETUP)
    trained(run, config)
    chosen = Chosen(tmp_path, [], None, stale=False)
    for _ in range(2):  # twice is once
        assert export(chosen, [name]) == 0
    assert same(READ[name](run), parquet(run))


def test_only_what_is_over_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen(tmp_path, *SETUP)
    assert export(Chosen(tmp_path, [], None, stale=False), ["tensorboard", "callback.tensorboard.flush_seconds=3"]) == 0
    assert "tensorboard: 0 runs; 1 run not over" in capsys.readouterr().out


def test_exports_to_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="export to what"):
        export(Chosen(tmp_path, [], None, stale=False), ["callback.tensorboard.flush_seconds=3"])
