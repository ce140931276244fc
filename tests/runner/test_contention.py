"""`contention`: wall clock over processor time of training, where it says something, across interruptions."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from runs import context, frozen, solve

from batchlab.results.axes import CONTENDED
from batchlab.results.store.run import Run
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.plan.solver import make_solver
from batchlab.runner.train import loop, rank
from batchlab.runner.train.facts import contention
from batchlab.runner.train.rank import Context, Meters


class Clocks:
    """Wall and processor time that stand still until a test moves them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.processor = 1000.0
        monkeypatch.setattr(rank.time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(rank.time, "thread_time", lambda: self.processor)

    def move(self, wall: float, processor: float) -> None:
        """So many seconds pass."""
        self.wall += wall
        self.processor += processor


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """In place of the machine's."""
    return Clocks(monkeypatch)


def test_evaluations_do_not_count(clocks: Clocks) -> None:
    meters = Meters.on(torch.device("cpu"))
    assert meters.contention is None
    clocks.move(7, 7)  # before training begins
    meters.resume()
    clocks.move(3, 2)
    with meters.paused():
        clocks.move(50, 1)
    clocks.move(3, 2)
    with meters.paused():
        clocks.move(1, 50)
    assert (meters.train_seconds, meters.processor_seconds, meters.eval_seconds) == (6, 4, 51)
    assert meters.contention == 1.5


def test_where_it_says_nothing(tmp_path: Path) -> None:
    """A GPU works while the processor waits; ranks wait for each other."""
    run, cpu = Run(tmp_path), torch.device("cpu")
    meters = Meters(torch.zeros(()), train_seconds=3.0, processor_seconds=2.0)
    assert contention(meters, Context(run, 0, 1, cpu)) == 1.5
    assert contention(meters, Context(run, 0, 2, cpu)) is None
    assert contention(meters, Context(run, 0, 1, torch.device("cuda"))) is None
    meters.processor_seconds = math.nan
    assert contention(meters, Context(run, 0, 1, cpu)) is None, "an earlier version trained a part"


def train(run: Run, config: RunConfig, clocks: Clocks, *each: float, stop_after: int | None = None) -> str:
    """Train with steps that take `each` = (wall, processor) seconds; told to stop after so many."""
    here, taken = context(run), 0
    step = loop.step

    def slow(*args: object) -> object:
        nonlocal taken
        taken += 1
        clocks.move(*each)
        if taken == stop_after:
            here.stop()
        return step(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", slow)
        return loop.train(config, here).state


def test_it_is_that_of_the_whole_run(tmp_path: Path, clocks: Clocks) -> None:
    """8 steps on a busy machine, then 4 on an idle one: (8 x 3 + 4) / (8 + 4)."""
    run, config = frozen(tmp_path)
    assert train(run, config, clocks, 3.0, 1.0, stop_after=3) == "interrupted"
    assert run.read_state().info["contention"] == 3
    assert train(run, config, clocks, 1.0, 1.0) == "done"
    assert run.read_state().info["steps"] == 12
    assert run.read_state().info["contention"] == round(28 / 12, 3) > CONTENDED


def test_a_checkpoint_that_did_not_measure_it(tmp_path: Path, clocks: Clocks) -> None:
    run, config = frozen(tmp_path)
    assert train(run, config, clocks, 3.0, 1.0, stop_after=3) == "interrupted"
    state = torch.load(run.checkpoint, weights_only=True)
    del state["meters"]["processor_seconds"]
    torch.save(state, run.checkpoint)
    assert train(run, config, clocks, 1.0, 1.0) == "done"
    assert run.read_state().info.get("contention") is None


SOLVED = ("dataset=breast_cancer", "model=logistic", "optimizer=svrg", "train.epochs=12")


def test_solvers_too(tmp_path: Path) -> None:
    """Of the stages; a state that another version wrote does not say it."""
    run, config = frozen(tmp_path, *SOLVED)
    assert solve(config, context(run)).state == "done"
    assert run.read_state().info["contention"] >= 0.95
    solver = make_solver(config, load_dataset(config.dataset))
    solver.solve(passes=5)
    state = solver.state_dict()
    assert 0 < state["progress"]["processor_seconds"] <= 1.05 * state["progress"]["seconds"]
    del state["progress"]["processor_seconds"]
    solver.load_state_dict(state)
    assert math.isnan(solver.progress.processor_seconds)


def test_on_this_machine(tmp_path: Path) -> None:
    """Nothing can be trained in less time than the processor worked."""
    run, config = frozen(tmp_path, "train.epochs=3")
    assert loop.train(config, context(run)).state == "done"
    assert run.read_state().info["contention"] >= 0.95
