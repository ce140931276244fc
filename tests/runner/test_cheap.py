"""What an evaluation and the end of a run do not do more often than they must. Counts, and no times."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import context, frozen, rows, trained
from torch import Tensor, nn

from batchlab.results.store import atomic, record
from batchlab.results.store.run import Run
from batchlab.runner.measures import probe as probes
from batchlab.runner.measures.scores import Scores
from batchlab.runner.measures.untouched import draws_from_torch, untouched
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.loop import consent
from batchlab.runner.train.session import Session


class InPlace(nn.Sequential):
    """A model that works in its input's place."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, classes))


def session_of(config: RunConfig, run: Run) -> Session:
    """A run's objects, at its beginning."""
    here = context(run)
    return Session.build(config, here.device, here.rank, here.world_size)


def test_a_split_is_made_into_batches_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = frozen(tmp_path)
    probe = session_of(config, run).probe
    made: list[str] = []

    def counted(*args: Any, **options: Any) -> Any:
        made.append(args[1])
        return original(*args, **options)

    original = probes.evaluation_batches
    monkeypatch.setattr(probes, "evaluation_batches", counted)
    first = [(x.clone(), y.clone()) for x, y in probe.batches("test")]
    again = list(probe.batches("test"))
    assert made == ["test"]
    assert all(
        torch.equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    next(probe.batches("train"))
    next(probe.batches("train"))
    assert made == ["test", "train", "train"]  # nobody has seen all of it


def test_what_a_model_writes_into_its_input_is_not_evaluated_again(tmp_path: Path) -> None:
    run, config = frozen(tmp_path)
    session = session_of(config, run)
    session.probe.model = InPlace(session.dataset.shape, 10)
    with torch.no_grad():
        for parameter in session.probe.model.parameters():
            parameter.normal_()
    before = [x.clone() for x, _ in session.probe.batches("test")]
    assert min(float(x.min()) for x in before) < 0
    session.probe.score("test")
    after = [x.clone() for x, _ in session.probe.batches("test")]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_who_draws_from_torch_alone() -> None:
    class Own(Scores):
        pass

    class Layer(nn.Linear):
        pass

    assert draws_from_torch(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout()), Scores())
    assert not draws_from_torch(nn.Sequential(nn.Linear(2, 2), Layer(2, 2)))
    assert not draws_from_torch(Own())
    hooked = nn.Sequential(nn.Linear(2, 2))
    hooked[0].register_forward_hook(lambda *_: random.random())
    assert not draws_from_torch(hooked)


@pytest.mark.parametrize("torch_only", [True, False])
def test_torch_is_put_back_in_any_case(torch_only: bool) -> None:
    model = nn.Linear(2, 2)
    before, python = torch.get_rng_state(), random.getstate()
    with untouched(model, torch_only=torch_only):
        torch.rand(3)
        random.random()
    assert torch.equal(torch.get_rng_state(), before)
    assert (random.getstate() == python) is not torch_only


def test_an_end_is_one_write_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, then facts and state at once: each wait for the disk is 10 ms on a busy machine."""
    run, config = frozen(tmp_path)
    waits: Counter[str] = Counter()
    wait = atomic.sync

    def counted(path: Path) -> None:
        waits["folder" if path.is_dir() else path.name.strip(".").split(".")[0]] += 1
        wait(path)

    for module in (atomic, record):
        monkeypatch.setattr(module, "sync", counted)
    assert trained(run, config) == "done"
    assert waits == {"metrics": 1, "config": 1, "run": 1, "folder": 2}
    info = run.read_state().info
    assert info["samples"] == rows(run)[-1]["samples"]
    assert info["sealed"] == {"metrics.parquet": run.metrics.stat().st_size}
    assert not run.stream("metrics").exists()


def test_progress_is_written_in_its_place(tmp_path: Path) -> None:
    run = Run(tmp_path / "a1b2").create()
    run.progress.write_text("x" * 1000)  # of whatever was there
    run.write_progress(samples=123456, total=200000)
    node = run.progress.stat().st_ino
    run.write_progress(samples=7.25, total=9, unit="passes")
    assert run.read_progress() == {"samples": 7.25, "total": 9, "unit": "passes"}
    assert run.progress.stat().st_ino == node
    run.progress.unlink()
    os.mkfifo(run.progress)
    with pytest.raises(OSError, match="No such device"):  # nobody reads it; and nobody waits
        run.write_progress(samples=1, total=2)


@pytest.mark.parametrize(("loss", "diverged"), [(1.0, False), (float("nan"), True), (float("inf"), True)])
def test_one_rank_consents_with_itself(tmp_path: Path, loss: float, diverged: bool) -> None:
    here = context(Run(tmp_path))
    assert consent(here, Tensor([loss]).squeeze()) == (False, diverged)
    here.stop()
    assert consent(here, Tensor([loss]).squeeze()) == (True, diverged)
