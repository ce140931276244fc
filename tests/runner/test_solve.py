"""Finite-sum solvers through the grid: the library's numbers, exact resumption, clear refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import Fleet, context, frozen, rows, solve

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
    Record,
    minimum,
    tune,
)
from batchlab.results.show.spent import by_command, parts_of
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train import solve as solving
from batchlab.runner.train import tuned
from batchlab.runner.train.launched import COMMAND
from batchlab.runner.train.rank import Context

CANCER = ("dataset=breast_cancer", "model=logistic", "batch_schedule.size=21", "train.epochs=30")
SOLVERS = {
    "dasvrda": DASVRDA,
    "svrg": SVRG,
    "saga": SAGA,
    "acc_prox_svrg": AccProxSVRG,
    "katyusha": Katyusha,
    "fista": FISTA,
}


def cancer(**net: float) -> LinearProblem:
    """The problem of CANCER."""
    (planned,) = compose([*CANCER, "optimizer=dasvrda"])
    data = load_dataset(planned.tree["dataset"])
    return LinearProblem(data.x_train, data.y_train, "logistic", ElasticNet(**({"l1": 1e-4, "l2": 1e-6} | net)))


def start(root: Path, *overrides: str) -> tuple[Run, RunConfig]:
    """A run of CANCER, frozen."""
    keys = {text.split("=", 1)[0] for text in overrides}
    return frozen(root, *(text for text in CANCER if text.split("=", 1)[0] not in keys), *overrides)


def work(run: Run, config: RunConfig, stop_after: int | None = None) -> str:
    """Solve in this process; told to stop after so many rows."""
    here = context(run)
    write, written = solving.Journal.__call__, 0

    def counted(self: solving.Journal, record: Record) -> bool:
        nonlocal written
        written += 1
        if written == stop_after:
            here.stop()
        return write(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving.Journal, "__call__", counted)
        return solve(config, here).state


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


# -- what is refused ---------------------------------------------------------------------------------------

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "three classes": (("dataset=digits",), r"digits holds images"),
    "a deep model": (("model=mlp",), r"set model=logistic"),
    "n < b": (("batch_schedule.size=457",), r"batch_schedule.size=457 is more than the 456 samples"),
    "b = 0": (("batch_schedule.size=0",), r"batch_schedule.size=0 must be at least 1"),
    "a growing batch": (("batch_schedule=exponential",), r"batch_schedule=constant"),
    "a schedule": (("lr_schedule=cosine",), r"lr_schedule=constant"),
    "negative l1": (("optimizer.l1=-1.0",), r"l1 must be a finite number >= 0"),
    "negative l2": (("optimizer.l2=-1.0",), r"l2 must be a finite number >= 0"),
    "negative step": (("optimizer.step_size=-1.0",), r"step_size=-1.0 must be a positive number"),
    "a word for a step": (("optimizer.step_size=best",), r"a positive number, null .* or tuned"),
    "momentum without convexity": (("optimizer=acc_prox_svrg", "optimizer.l2=0.0"), r"needs a strong convexity > 0"),
    "two ranks": (("nproc=2",), r"set nproc=1"),
    "another loss": (("train.loss=mse",), r"needs train.loss=cross_entropy or squared_hinge"),
    "too few passes": (("train.epochs=1",), r"train.epochs=1 does not cover the first stage .* 1.9\d+ passes"),
    "an argument it lacks": (("optimizer=saga", "+optimizer.restart=none"), r"restart"),
    "an argument the data lacks": (("+dataset.foo=3",), r"dataset.foo"),
    "a tuned step without a regulariser": (
        ("optimizer.step_size=tuned", "optimizer.l1=0.0", "optimizer.l2=0.0"),
        r"set optimizer.l1 or optimizer.l2, or give optimizer.step_size a number",
    ),
}
OF_THE_DATA = ("three classes", "n < b", "another loss", "too few passes")
"""Cases that cannot be seen without the data."""


def asked(case: str) -> list[Planned]:
    overrides = CASES[case][0]
    keys = {text.split("=", 1)[0] for text in overrides}
    keys |= {key.split(".")[0] for key in keys if key == "batch_schedule"}
    common = [text for text in (*CANCER, "optimizer=dasvrda") if text.split("=", 1)[0] not in keys]
    if "batch_schedule" in keys:
        common = [text for text in common if not text.startswith("batch_schedule.")]
    return compose([*common, *overrides])


@pytest.mark.parametrize("case", CASES)
def test_bad_requests(case: str) -> None:
    with pytest.raises(ConfigError, match=CASES[case][1]):
        validate(asked(case))


@pytest.mark.parametrize("case", [case for case in CASES if case not in OF_THE_DATA])
def test_bad_requests_are_seen_before_the_data_is_there(case: str) -> None:
    with pytest.raises(ConfigError, match=CASES[case][1]):
        validate(asked(case), data_at_hand=False)


FILES = {
    "NaN": ("1 1:nan\n-1 1:1\n", "NaN|infinite"),
    "zero rows": (
        "1 1:1\n-1\n1 1:2\n",
        r"1 of 3 rows of A are all zeros \(the first is row 1\).* set optimizer.zero_rows=keep",
    ),
    "three labels": ("1 1:1\n2 1:1\n3 1:2\n", "two classes"),
    "one label": ("1 1:1\n1 1:3\n", "two classes"),
    "no numbers": ("hello world\n", "bad.txt"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files(case: str, tmp_path: Path) -> None:
    content, message = FILES[case]
    (tmp_path / "bad.txt").write_text(content)
    overrides = ["dataset=libsvm", f"dataset.path={tmp_path / 'bad.txt'}", "model=logistic", "batch_schedule.size=1"]
    with pytest.raises(ValueError, match=message):
        validate(compose([*overrides, "optimizer=dasvrda"]))


def test_zero_rows_are_kept_on_request(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("1 1:1\n-1\n1 2:2\n-1 1:-1 2:-1\n")
    overrides = ("dataset=libsvm", f"dataset.path={tmp_path / 'data.txt'}", "batch_schedule.size=2")
    run, config = start(tmp_path, *overrides, "optimizer=dasvrda", "optimizer.zero_rows=keep")
    assert work(run, config) == "done"


def test_settings_without_effect_are_said() -> None:
    heard = validate(compose([*CANCER, "optimizer=dasvrda", "train.precision=float64", "log.steps=true"]))
    assert [text.partition(":")[0] for text in heard] == [
        "train.precision=float64 has no effect",
        "log.steps=True has no effect",
    ]
    assert validate(compose([*CANCER, "optimizer=dasvrda"])) == []


@pytest.mark.parametrize("data_at_hand", [True, False])
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+measure=full_gradient_norm", "measure=[scores,full_gradient_norm] has no effect"),
        ("measure=[]", "measure=[] has no effect"),
        ("measure=[parameters]", "measure=[parameters] has no effect"),
    ],
)
def test_what_a_solver_does_not_measure_is_said(override: str, said: str, data_at_hand: bool) -> None:
    (found,) = validate(compose([*CANCER, "optimizer=dasvrda", override]), data_at_hand=data_at_hand)
    assert found.startswith(said)


@pytest.mark.parametrize("data_at_hand", [True, False])
def test_measures_of_a_solver_are_measures(data_at_hand: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "measure").mkdir(parents=True)
    (tmp_path / "conf" / "measure" / "none.yaml").write_text("name: none\n_target_: torch.nn.Identity\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"measure=none: torch\.nn\.Identity makes no Measure"):
        validate(compose([*CANCER, "optimizer=dasvrda", "+measure=none"]), data_at_hand=data_at_hand)


@pytest.mark.parametrize(
    ("override", "heard"),
    [
        ("model.bias=true", "model.bias=True has no effect: optimizer=svrg has no intercept"),
        ("model.bias=false", None),
        ("model.zero_init=false", "model.zero_init=False has no effect: optimizer=svrg has no intercept"),
        ("model.zero_init=true", None),
        ("train.device=cuda", "train.device=cuda has no effect: optimizer=svrg computes on the host"),
        ("train.device=cpu", None),
    ],
)
def test_the_models_settings_that_a_solver_does_not_read_are_said(override: str, heard: str | None) -> None:
    """Where they were asked for, also as the default, and by one value of many."""
    for more in ([], ["seed=1,2"]):
        found = validate(compose([*CANCER, "optimizer=svrg", override, *more]))
        assert found == [] if heard is None else (len(found) == 1 and found[0].startswith(heard))


def test_solvers_beside_optimizers_of_another_objective_are_said() -> None:
    same = ["model.bias=false", "model.zero_init=true", "optimizer.l1=0.0", "optimizer.l2=0.0"]

    def heard(*optimizers: list[str]) -> list[str]:
        return validate([plan for part in optimizers for plan in compose([*CANCER, *part])])

    (found,) = heard(["optimizer=svrg,saga"], ["optimizer=sgd"])
    assert "solvers (svrg, saga) and optimizers (sgd)" in found
    assert "model.bias=false" in found
    assert "optimizer.l1=0.0 optimizer.l2=0.0" in found
    (found,) = heard(["optimizer=svrg"], ["optimizer=sgd", "model.bias=false"])
    assert "intercept" not in found
    (found,) = heard(["optimizer=svrg", *same], ["optimizer=sgd"])
    assert "optimizer.l1" not in found
    assert heard(["optimizer=svrg", *same], ["optimizer=sgd", "model.bias=false"]) == []
    assert heard(["optimizer=svrg,saga"]) == heard(["optimizer=sgd,adam"]) == []


def test_fista_takes_all_samples_whatever_the_batch(tmp_path: Path) -> None:
    """A grid over solvers has one batch size: no reason to warn."""
    assert validate(compose([*CANCER, "optimizer=fista"])) == []
    run, config = start(tmp_path, "optimizer=fista")
    work(run, config)
    assert rows(run)[-1]["batch_size"] == 456


def test_an_optimizer_has_no_squared_hinge() -> None:
    with pytest.raises(ConfigError, match="for finite-sum solvers"):
        validate(compose([*CANCER, "optimizer=sgd", "train.loss=squared_hinge"]))


@pytest.mark.slow
def test_one_line_and_exit_code_2(tmp_path: Path) -> None:
    code = "from batchlab.runner.cli import main; main()"
    overrides = [text for text in CANCER if not text.startswith("batch")] + ["batch_schedule.size=1000"]
    command = [sys.executable, "-c", code, "train", *overrides, "optimizer=dasvrda"]
    done = subprocess.run([*command, "--runs", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("batchlab: batch_schedule.size=1000 is more than the 456 samples of dataset=breast_cancer")
    assert list(tmp_path.glob("*/run.json")) == []


def test_everything_in_run_json_is_plain(tmp_path: Path) -> None:
    run, config = start(tmp_path, "optimizer=dasvrda", "optimizer.step_size=tuned")
    work(run, config)
    assert json.loads(run.state_file.read_text())["tuning"]["gap"] == 1e-8
