"""Finite-sum solvers through the grid: the library's numbers and exact resumption."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cancer import CANCER, cancer, start, work
from runs import Fleet, context, rows, solve

from batchlab.optimizers.finite_sum import (
    DASVRDA,
    FISTA,
    GRID,
    ROUNDING,
    SAGA,
    SVRG,
    AccProxSVRG,
    ElasticNet,
    Katyusha,
    LinearProblem,
    minimum,
    tune,
)
from batchlab.results.show.spent import by_command, parts_of
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.train import solve as solving
from batchlab.runner.train import tuned
from batchlab.runner.train.launched import COMMAND
from batchlab.runner.train.rank import Context

SOLVERS = {
    "dasvrda": DASVRDA,
    "svrg": SVRG,
    "saga": SAGA,
    "acc_prox_svrg": AccProxSVRG,
    "katyusha": Katyusha,
    "fista": FISTA,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_the_librarys_numbers(name: str, tmp_path: Path) -> None:
    size = "456" if name == "fista" else "21"
    run, config = start(
        tmp_path, f"optimizer={name}", "seed=3", "optimizer.step_size=0.5", f"batch_schedule.size={size}"
    )
    assert work(run, config) == "done"
    problem = cancer()
    options = {} if name == "fista" else {"batch_size": 21, "seed": 3}
    solver = SOLVERS[name](problem, step_size=0.5, **options)
    records = solver.solve(passes=30, every=1.0).records
    found = rows(run, times=True)
    assert [row["objective"] for row in found] == [record.value for record in records]
    assert [row["epoch"] for row in found] == [record.passes for record in records]
    assert [row["steps"] for row in found] == [record.iterations for record in records]
    assert [row["gradients"] for row in found] == [record.gradients for record in records]
    last = found[-1]
    assert last["nonzeros"] == np.count_nonzero(solver.x)
    assert last["train_loss"] == pytest.approx(problem.component_losses(solver.x).mean())
    assert (last["lr"], last["batch_size"]) == (0.5, int(size))
    assert last["optimizer"] == name
    data = load_dataset(config.dataset)
    assert last["test_accuracy"] == np.mean((data.x_test @ solver.x > 0) == data.y_test)
    seconds = [row["train_seconds"] for row in found]
    assert seconds == sorted(seconds)
    assert "gap" not in last, "P* was not asked for"
    state = run.read_state()
    assert state.state is State.DONE
    assert state.info["gradients"] == last["gradients"]
    assert {"numba", "scipy", "scikit-learn"} <= state.info["versions"].keys(), "they decide the numbers"


@pytest.mark.parametrize("budget", ["train.epochs=30", "train.samples=13680"])
def test_the_budget_is_passes_or_samples(budget: str, tmp_path: Path) -> None:
    epochs = () if budget.startswith("train.epochs") else ("train.epochs=100",)  # which samples override
    run, config = start(tmp_path, "optimizer=dasvrda", *epochs, budget)
    work(run, config)
    assert 28 < rows(run)[-1]["epoch"] <= 30
    assert run.read_progress() == {"samples": rows(run)[-1]["epoch"], "total": 30, "unit": "passes"}


def test_regression_and_the_squared_hinge(tmp_path: Path) -> None:
    regression = ("dataset=linear_regression", "dataset.samples=500", "model=linear", "train.loss=mse")
    run, config = start(tmp_path, *regression, "optimizer=dasvrda", "optimizer.l1=0.0")
    assert work(run, config) == "done"
    last = rows(run)[-1]
    assert last["objective"] < 1e-3
    assert "test_accuracy" not in last
    run, config = start(tmp_path, "optimizer=svrg", "train.loss=squared_hinge")
    assert work(run, config) == "done"
    data = load_dataset(config.dataset)
    problem = LinearProblem(data.x_train, data.y_train, "squared_hinge", ElasticNet(1e-4, 1e-6))
    result = SVRG(problem, batch_size=21).solve(passes=30)
    assert rows(run)[-1]["objective"] == result.records[-1].value


def test_a_step_that_diverges_is_a_result(tmp_path: Path) -> None:
    """SVRG with the squared loss and a step far beyond 2/L."""
    regression = ("dataset=linear_regression", "dataset.samples=500", "model=linear", "train.loss=mse")
    run, config = start(tmp_path, *regression, "optimizer=svrg", "optimizer.step_size=1e6", "train.epochs=300")
    assert work(run, config) == "diverged"
    state = run.read_state()
    assert state.state is State.DIVERGED
    assert state.reason == "the objective was not finite"
    assert not np.isfinite(rows(run)[-1]["objective"])


# -- the tuned step ----------------------------------------------------------------------------------------


def test_the_tuned_step_is_the_librarys(tmp_path: Path) -> None:
    run, config = start(tmp_path, "optimizer=svrg", "optimizer.step_size=tuned", "seed=4", "train.epochs=60")
    assert work(run, config) == "done"
    problem = cancer()
    optimum = minimum(problem).records[-1].value
    expected = tune(lambda eta: SVRG(problem, step_size=eta, batch_size=21, seed=0), optimum=optimum, passes=60)
    found = rows(run)
    assert {row["lr"] for row in found} == {expected.best.step_size}
    again = SVRG(problem, step_size=expected.best.step_size, batch_size=21, seed=4).solve(passes=60)
    assert [row["objective"] for row in found] == [record.value for record in again.records]
    assert [row["gap"] for row in found] == [record.value - optimum for record in again.records]
    said = run.read_state().info["tuning"]
    assert [trial["step_size"] for trial in said["trials"]] == list(GRID)
    assert (said["step_size"], said["optimum"], said["seed"]) == (expected.best.step_size, optimum, 0)


def test_a_run_that_knows_the_optimum_ends_at_rounding(tmp_path: Path) -> None:
    easy = ("optimizer.l1=0.01", "optimizer.l2=0.1", "train.epochs=500", "optimizer.step_size=tuned")
    run, config = start(tmp_path, "optimizer=dasvrda", *easy)
    assert work(run, config, stop_after=5) == "interrupted"
    assert work(run, config) == "done"
    gaps = [row["gap"] for row in rows(run)]
    assert gaps[-1] <= ROUNDING < min(gaps[:-1])
    assert rows(run)[-1]["epoch"] < 400


@pytest.mark.slow
def test_it_is_found_once_for_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("tuned_step", "minimum"):
        original = getattr(tuned, name)
        monkeypatch.setattr(tuned, name, lambda *a, _n=name, _f=original, **k: calls.append(_n) or _f(*a, **k))
    choices = []

    def choose(*overrides: str) -> list[str]:
        calls.clear()
        run, config = start(tmp_path, "optimizer.step_size=tuned", *overrides)
        work(run, config)
        choices.append(run.read_state().info["tuning"])
        return list(calls)

    assert choose("optimizer=dasvrda", "seed=0") == ["minimum", "tuned_step"]
    assert choose("optimizer=dasvrda", "seed=1") == []
    assert choices[0] == choices[1]
    assert choose("optimizer=dasvrda", "batch_schedule.size=10") == ["tuned_step"], "the same problem, another method"
    assert choose("optimizer=svrg") == ["tuned_step"]
    assert choose("optimizer=svrg", "train.epochs=40") == ["tuned_step"], "another budget of the trials"
    assert choose("optimizer=svrg", "optimizer.l2=0.001") == ["minimum", "tuned_step"]
    assert choose("optimizer=svrg", "dataset.unit_rows=true") == ["minimum", "tuned_step"]
    for file in (tmp_path / ".tuned").iterdir():
        file.write_text("{torn")
    assert choose("optimizer=dasvrda", "seed=2") == ["minimum", "tuned_step"]
    assert choices[-1] == choices[0]


def test_a_changed_file_is_another_problem(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    optima = []
    for scale in (1.0, 2.0):
        a, labels = generator.normal(size=(40, 3)), [-1, 1] * 20
        lines = [
            f"{y} " + " ".join(f"{j}:{v * scale:.3f}" for j, v in enumerate(r, 1))
            for y, r in zip(labels, a, strict=True)
        ]
        (tmp_path / "data.txt").write_text("\n".join(lines))
        overrides = ("dataset=libsvm", f"dataset.path={tmp_path / 'data.txt'}", f"seed={int(scale)}")
        run, config = start(tmp_path / "runs", "optimizer=dasvrda", "optimizer.step_size=tuned", *overrides)
        work(run, config)
        optima.append(run.read_state().info["tuning"]["optimum"])
    assert optima[0] != optima[1]


def test_told_to_stop_while_it_tunes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = start(tmp_path, "optimizer=svrg", "optimizer.step_size=tuned")
    here: Context = context(run)
    make, made = solving.make_solver, 0

    def counted(*args: Any) -> Any:
        nonlocal made
        made += 1
        if made == 5:
            here.stop()
        return make(*args)

    monkeypatch.setattr(solving, "make_solver", counted)
    assert solve(config, here).state == "interrupted"
    assert made == 5
    assert run.read_state().state is State.INTERRUPTED
    monkeypatch.undo()
    assert work(run, config) == "done"


# -- interrupted and resumed -------------------------------------------------------------------------------


def test_which_command_spent_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = start(tmp_path, "optimizer=svrg")
    monkeypatch.setenv(COMMAND, "a")
    assert work(run, config, 9) == "interrupted"
    before = parts_of(run.read_state().info)
    monkeypatch.setenv(COMMAND, "b")
    assert work(run, config) == "done"
    info = run.read_state().info
    assert [*info["commands"]] == ["a", "b"]
    first, second = by_command(info).values()
    assert all(abs(first[part] - before[part]) < 0.002 for part in ("train", "start", "data"))
    assert first["train"] > 0
    assert all(seconds >= 0 for seconds in (*first.values(), *second.values()))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("every", ["0.1", "5.0"])
def test_bit_for_bit(name: str, every: str, tmp_path: Path) -> None:
    size = "456" if name == "fista" else "21"
    setup = (
        f"optimizer={name}",
        "optimizer.step_size=0.5",
        f"batch_schedule.size={size}",
        f"log.evaluate_every={every}",
    )
    whole, config = start(tmp_path / "whole", *setup)
    work(whole, config)
    parts, config = start(tmp_path / "parts", *setup)
    pieces = 0
    while work(parts, config, stop_after=2) == "interrupted":
        pieces += 1
        assert parts.read_state().state is State.INTERRUPTED
    assert pieces >= 2
    assert rows(parts) == rows(whole)
    for clock in ("train_seconds", "eval_seconds"):
        seconds = [row[clock] for row in rows(parts, times=True)]
        assert seconds == sorted(seconds), "times go on where they were"
    assert not parts.checkpoint.exists()


def test_stopped_at_its_first_row_it_begins_anew(tmp_path: Path) -> None:
    run, config = start(tmp_path, "optimizer=dasvrda")
    assert work(run, config, stop_after=1) == "interrupted"
    assert work(run, config) == "done"
    found = [row["epoch"] for row in rows(run)]
    assert found == sorted(set(found))


def test_killed_after_rows_that_the_checkpoint_does_not_know(tmp_path: Path) -> None:
    run, config = start(tmp_path, "optimizer=katyusha")
    assert work(run, config, stop_after=3) == "interrupted"
    kept = run.checkpoint.read_bytes()
    assert work(run, config, stop_after=3) == "interrupted"
    run.checkpoint.write_bytes(kept)
    seen = read_stream(run, "metrics")
    assert work(run, config) == "done"
    found = [row["objective"] for row in rows(run)]
    assert found[: len(seen)] == [row["objective"] for row in seen]
    assert len({row["epoch"] for row in rows(run)}) == len(found)


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_a_damaged_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    run, config = start(tmp_path, "optimizer=saga")
    assert work(run, config, stop_after=3) == "interrupted"
    run.checkpoint.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{run.checkpoint} is damaged")):
        work(run, config)


def test_data_that_changed_meanwhile_is_named(tmp_path: Path) -> None:
    """SAGA's table of the old rows would lead it to the minimum of neither."""
    file = tmp_path / "data.txt"
    file.write_text("1 1:1\n-1 2:1\n1 1:2 2:1\n-1 1:-1 2:-1\n")
    setup = ("dataset=libsvm", f"dataset.path={file}", "batch_schedule.size=2", "optimizer=saga")
    run, config = start(tmp_path, *setup)
    assert work(run, config, stop_after=3) == "interrupted"
    file.write_text(file.read_text().replace("2:-1", "2:-2"))
    with pytest.raises(ConfigError, match=r"another run \(data: saved .* put the data back, or delete checkpoint"):
        work(run, config)


@pytest.mark.slow
def test_launched_in_earnest(tmp_path: Path, fleet: Fleet) -> None:
    """A sweep over solvers and seeds by the warm process gives the rows of this process."""
    overrides = [*CANCER, "optimizer=dasvrda,svrg", "optimizer.step_size=tuned", "seed=0,1"]
    plans = compose(overrides)
    report, watcher = fleet.sweep(tmp_path / "fleet", plans)
    assert report.exit_code == 0, watcher.notes
    for planned in plans:
        run, config = start(tmp_path / "here", *planned.overrides, "optimizer.step_size=tuned")
        assert run.run_id == planned.run_id
        work(run, config)
        assert rows(run) == rows(Run(tmp_path / "fleet" / planned.run_id))
