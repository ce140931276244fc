"""A user's own optimizer, schedule, solver and measure from a foreign module: declared, checked, driven, written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import Fleet, Watcher, context, one, rows, solve
from sklearn.metrics import f1_score

from batchlab.results.compare.table import load_table
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.sweep import freeze, run_sweep
from batchlab.runner.train.loop import train

MINE = '''
import subprocess, sys
import torch
from pathlib import Path
from sklearn.metrics import f1_score
from batchlab.optimizers import VRMomentum
from batchlab.optimizers.batch import BatchSchedule
from batchlab.optimizers.finite_sum import SVRG
from batchlab.optimizers.needs import Closure, FiniteSum, Moments
from batchlab.runner.launch.executors.base import Ended, Executor
from batchlab.runner.measures import Measure, Quantity
from batchlab.runner.plan.schema import ConfigError

HEARD = []
COLUMN = "own"

class Listens(BatchSchedule):
    deterministic = False
    needs = "moments"
    def planned(self, clock):
        return 32
    def update(self, moments):
        HEARD.append((moments.groups, moments.variance() > 0))

class Deaf(Listens):
    needs = None

class Records(Listens):
    """Records the column COLUMN, from the third step on."""
    steps = 0
    def update(self, moments):
        self.steps += 1
    def record(self):
        return {"seen": self.steps} if self.steps < 3 else {"seen": self.steps, COLUMN: 3}

class Mine(VRMomentum):
    pass

class InLine(Executor):
    """One run after the other, in a process each."""
    def __init__(self, *, note="", threads=1):
        self.note, self.left = note, []
    def check(self, trees):
        if any(tree["nproc"] > 1 for tree in trees):
            raise ConfigError("executor=inline takes runs of one rank: set nproc=1")
    def room(self, nproc):
        return not self.left
    def start(self, run, nproc):
        self.left.append(run)
    def wait(self, seconds):
        done, self.left = self.left, []
        return [Ended(run, subprocess.run([sys.executable, "-c", JOB, str(run.folder)]).returncode) for run in done]
    def stop(self):
        pass
    def close(self, *, kill=False):
        pass

JOB = """
import sys
from pathlib import Path
from batchlab.results.store.run import Run
from batchlab.runner.launch.launch import run_job, torchrun
sys.exit(run_job(Run(Path(sys.argv[1])), torchrun))
"""

class SignalSGD(torch.optim.Optimizer):
    """Steps along the mean gradient where the squared signal exceeds the noise of the mean."""
    needs = Moments(elementwise=True, groups=3)
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, moments):
        for p, g, square in zip(moments.params, moments.means(), moments.second_moments()):
            noise = (square - g**2) / moments.groups
            p.sub_(torch.where(g**2 > noise, g, torch.zeros_like(g)), alpha=self.param_groups[0]["lr"])

class Midpoint(torch.optim.Optimizer):
    needs = Closure(2)
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, closure):
        (group,) = self.param_groups
        with torch.enable_grad():
            loss = closure()
        start = [p.clone() for p in group["params"]]
        for p in group["params"]:
            p.sub_(p.grad, alpha=group["lr"] / 2)
        with torch.enable_grad():
            closure()
        for p, before in zip(group["params"], start):
            p.copy_(before - group["lr"] * p.grad)
        return loss

class Thrice(Midpoint):
    """Declares two calls."""
    def step(self, closure):
        with torch.enable_grad():
            closure()
        return super().step(closure)

class Never(Midpoint):
    def step(self, closure):
        pass

class NeverAgain(Midpoint):
    needs = Closure()
    taken = 0
    def step(self, closure):
        self.taken += 1
        return super().step(closure) if self.taken < 3 else None

class Undeclared(SignalSGD):
    needs = None

class Halved(SVRG):
    def theoretical_step(self):
        return super().theoretical_step() / 2

class NoSolver:
    """Says that it is one, and is none."""
    needs = FiniteSum()
    def __init__(self, problem, batch_size, seed):
        self.problem = problem

class MacroF1(Measure):
    quantities = {"macro_f1": Quantity("up", "macro F1", "%", 100)}
    def measure(self, probe):
        outputs, targets = probe.predictions("test")
        return {"macro_f1": f1_score(targets, outputs.argmax(1), average="macro")}

class SecondLoss(Measure):
    def measure(self, probe):
        return {"samples": 0.0}

class NormPerLayer(Measure):
    stream = "layers"
    when = "trained"
    def measure(self, probe):
        return [{"layer": name, "norm": float(p.detach().norm())} for name, p in probe.model.named_parameters()]
'''
YAML = {
    "batch_schedule": {"listens": "Listens", "deaf": "Deaf", "records": "Records"},
    "optimizer": {
        "mine": "Mine",
        "signal": "SignalSGD",
        "midpoint": "Midpoint",
        "thrice": "Thrice",
        "never": "Never",
        "never_again": "NeverAgain",
        "undeclared": "Undeclared",
        "vr_mine": "torch.optim.SGD",
        "halved": "Halved",
        "by_theory": "Halved",
        "no_solver": "NoSolver",
        "lbfgs": "torch.optim.LBFGS",
    },
    "executor": {"inline": "InLine", "nothing": "Mine"},
    "measure": {"macro_f1": "MacroF1", "second": "SecondLoss", "norms": "NormPerLayer"},
}


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has a conf folder and a module of the user's own."""
    (tmp_path / "foreign_things.py").write_text(MINE)
    for axis, choices in YAML.items():
        folder = tmp_path / "conf" / axis
        folder.mkdir(parents=True)
        for name, target in choices.items():
            path = target if "." in target else f"foreign_things.{target}"
            of_solver = {"halved": "l2: 0.01\nstep_size: null\n", "by_theory": "l2: 0.01\n", "no_solver": ""}
            more = "" if axis != "optimizer" else of_solver.get(name, "lr: 0.1\n")
            (folder / f"{name}.yaml").write_text(f"name: {name}\n_target_: {path}\n{more}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def trained(tmp_path: Path, *overrides: str, work: Any = train) -> Run:
    """A run of the overrides, checked as a sweep checks it, trained in this process."""
    import yaml

    planned = one(*overrides)
    validate([planned])
    run = RunStore(tmp_path / "runs").run(planned.run_id)
    run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
    assert work(RunConfig.load(run.config), context(run)).state == "done"
    return run


def test_a_schedule_that_listens_is_told_after_every_step(tmp_path: Path) -> None:
    import foreign_things

    foreign_things.HEARD.clear()
    run = trained(tmp_path, "batch_schedule=listens", "train.groups=4")
    assert len(foreign_things.HEARD) == rows(run)[-1]["steps"] == -(-1442 // 32)
    assert set(foreign_things.HEARD) <= {(4, True), (2, True)}, "groups of each batch; 1442 = 45 x 32 + 2"


def test_a_schedule_that_nobody_would_tell_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'batch_schedule=deaf: Deaf has an update.*needs = "moments"'):
        validate([one("batch_schedule=deaf")])


@pytest.mark.parametrize("column", ["samples", "lr", "train_loss", "run_id", "optimizer"])
def test_a_schedule_overwrites_no_column_of_its_rows(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import foreign_things

    monkeypatch.setattr(foreign_things, "COLUMN", column)
    message = f"batch_schedule=records: Records gives the column {column}, which every row has already: rename it"
    with pytest.raises(ConfigError, match=message):
        trained(tmp_path, "batch_schedule=records", "train.groups=4")


def test_what_a_schedule_records_is_in_its_rows(tmp_path: Path) -> None:
    run = trained(tmp_path, "batch_schedule=records", "train.groups=4")
    first = pq.read_table(run.steps).to_pylist()[:3]
    assert [(row["seen"], row["own"]) for row in first] == [(1, None), (2, None), (3, 3)]


def test_a_listening_schedule_needs_groups() -> None:
    with pytest.raises(ConfigError, match=r"batch_schedule=listens measures noise between groups.*train\.groups=8"):
        validate([one("batch_schedule=listens")])


def test_a_name_decides_nothing(tmp_path: Path) -> None:
    """VR under a name of one's own summarises its layers; plain SGD under a vr_ name is refused with the way out."""
    run = trained(tmp_path, "optimizer=mine", "+measure=gsnr", "train.groups=8")
    assert pq.read_table(run.layers).num_rows > 0
    with pytest.raises(ConfigError, match=r"measure=gsnr with optimizer=vr_mine.*SGD has no gsnr_summary"):
        validate([one("optimizer=vr_mine", "+measure=gsnr", "train.groups=8")])


def test_own_optimizers_are_driven_as_they_declare(tmp_path: Path) -> None:
    run = trained(tmp_path, "optimizer=signal", "train.groups=4")
    assert rows(run)[-1]["train_loss"] < rows(run)[0]["test_loss"]
    with pytest.raises(ConfigError, match=r"optimizer=signal measures noise .* 3 at least: set train\.groups=8"):
        validate([one("optimizer=signal", "train.groups=2")])
    run = trained(tmp_path, "optimizer=midpoint")
    assert rows(run)[-1]["gradients"] == 2 * 1442, "two evaluations per step"
    with pytest.raises(ConfigError, match=r"optimizer=undeclared: Undeclared\.step needs moments: declare"):
        validate([one("optimizer=undeclared")])


def test_torchs_own_closures_are_counted(tmp_path: Path) -> None:
    run = trained(tmp_path, "optimizer=lbfgs", "batch_schedule.size=1442")
    assert rows(run)[-1]["gradients"] > 5 * 1442, "20 iterations a step, each an evaluation of the same batch"
    assert rows(run)[-1]["steps"] == 1


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("thrice", r"Thrice declares Closure\(evaluations=2\), but its first step called the closure 3 times"),
        ("never", r"Never\.step\(closure\) did not call the closure"),
        ("never_again", r"NeverAgain\.step\(closure\) did not call the closure"),
    ],
)
def test_closures_are_called_as_declared(optimizer: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"optimizer={optimizer}: {message}"):
        trained(tmp_path, f"optimizer={optimizer}")


def test_an_own_solver_is_one(tmp_path: Path) -> None:
    data = ("dataset=breast_cancer", "model=logistic", "train.epochs=10", "batch_schedule.size=21")
    run = trained(tmp_path, "optimizer=halved", *data, work=solve)
    theirs = trained(tmp_path, "optimizer=svrg", "optimizer.l1=0.0", "optimizer.l2=0.01", *data, work=solve)
    assert rows(run)[-1]["lr"] == pytest.approx(rows(theirs)[-1]["lr"] / 2)
    assert rows(run)[-1]["objective"] < rows(run)[0]["objective"]


def test_an_own_solver_needs_no_step_size(tmp_path: Path) -> None:
    data = ("dataset=breast_cancer", "model=logistic", "train.epochs=10", "batch_schedule.size=21")
    first, second = (trained(tmp_path, f"optimizer={name}", *data, work=solve) for name in ("by_theory", "halved"))
    for mine, theirs in zip(rows(first), rows(second), strict=True):
        assert {k: mine[k] for k in ("objective", "lr")} == {k: theirs[k] for k in ("objective", "lr")}


@pytest.mark.parametrize("data_at_hand", [True, False])
def test_what_is_no_solver_is_refused(data_at_hand: bool) -> None:
    plans = [one("optimizer=no_solver", "dataset=breast_cancer", "model=logistic", "batch_schedule.size=21")]
    with pytest.raises(ConfigError, match=r"optimizer=no_solver: foreign_things\.NoSolver makes no Solver"):
        validate(plans, data_at_hand=data_at_hand)


def test_an_own_measure_is_a_column_that_tables_know(tmp_path: Path) -> None:
    runs = [trained(tmp_path, "+measure=macro_f1", f"seed={seed}", "optimizer.lr=0.1") for seed in (0, 1, 2)]
    worse = [trained(tmp_path, "+measure=macro_f1", f"seed={seed}", "optimizer.lr=0.001") for seed in (0, 1, 2)]
    row = rows(runs[0])[-1]
    assert 0.5 < row["macro_f1"] < 1
    assert abs(row["macro_f1"] - row["test_accuracy"]) < 0.1
    store = RunStore(tmp_path / "runs")
    sheet = table_sheet(load_table(store, rows=["optimizer.lr"], metrics=["macro_f1"]))
    (low, first), (high, second) = sheet.rows
    assert (low.text, high.text) == ("0.001", "0.1")
    assert (first.bold, second.bold) == (False, True), "more is better, as the measure declares"
    assert float(second.text.split(" ")[0]) > 1, "in %"
    assert worse[0].run_id != runs[0].run_id


@pytest.mark.slow
def test_predictions_are_those_of_one_pass_on_any_number_of_ranks(tmp_path: Path) -> None:
    fleet = Fleet(LocalExecutor(devices=2))  # started here, where the module is
    try:
        alone, two = (
            fleet.train(tmp_path / "runs", one("+measure=macro_f1", "train.precision=float64", f"nproc={n}"))
            for n in (1, 2)
        )
    finally:
        fleet.executor.close()
    mine, theirs = ([row["macro_f1"] for row in rows(run)] for run in (alone, two))
    np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_columns_that_are_there_are_not_overwritten() -> None:
    config = RunConfig.of(one("+measure=second").tree)
    with pytest.raises(ConfigError, match="measure=second: SecondLoss gives the column samples, which every row has"):
        train(config, context(Run(Path("runs") / "x").create()))


def test_rows_of_ones_own_go_to_layers(tmp_path: Path) -> None:
    run = trained(tmp_path, "measure=norms", "train.epochs=2")
    layers = pq.read_table(run.layers).to_pylist()
    assert [row["samples"] for row in layers] == [1442] * 4 + [2884] * 4
    assert "test_loss" not in rows(run)[-1], "scores were not asked for"


def test_the_f1_of_the_docs_is_scikit_learns() -> None:
    assert f1_score([0, 1, 1], [0, 1, 0], average="macro") == pytest.approx(2 / 3)


def test_what_cannot_be_a_measure() -> None:
    Path("conf/measure/none.yaml").write_text("name: none\n_target_: torch.nn.Identity\n")
    with pytest.raises(ConfigError, match=r"measure=none: torch\.nn\.Identity makes no Measure"):
        validate([one("+measure=none")])
    Path("conf/measure/empty.yaml").write_text("")
    with pytest.raises(ConfigError, match="measure=empty: the file is empty"):
        compose(["measure=empty"])


@pytest.mark.slow
def test_an_executor_of_ones_own(tmp_path: Path) -> None:
    plans = [one("executor=inline", f"seed={seed}") for seed in (0, 1)]
    store, watcher = RunStore(tmp_path / "runs").prepare(), Watcher()
    freeze(store, "mine", plans)
    report = run_sweep(plans, store, executor_for([p.tree for p in plans]), watcher)
    assert (report.exit_code, report.states[State.DONE], watcher.most) == (0, 2, 1)
    assert plans[0].run_id == one().run_id, "where a run is trained is no part of what it is"


def test_executors_check_what_they_are_given() -> None:
    with pytest.raises(ConfigError, match="takes runs of one rank"):
        executor_for([one("executor=inline", "nproc=2").tree])
    with pytest.raises(ConfigError, match="--jobs-per-device: executor=inline has no devices to share"):
        executor_for([one("executor=inline").tree], 3)
    with pytest.raises(ConfigError, match=r"executor=nothing: .*params"):
        executor_for([one("executor=nothing").tree])
    with pytest.raises(ConfigError, match=r"executor\.launcher=rocket: choose fork or torchrun"):
        executor_for([one("executor.launcher=rocket").tree])
    with pytest.raises(ConfigError, match=r"executor\.threads=0 must be at least 1"):
        executor_for([one("executor.threads=0").tree])
