"""Runs of finite-sum solvers that share a process: the numbers of each alone bit for bit, and who shares one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import yaml
from runs import Fleet, Watcher, context, rows, solve
from shell import in_process

from batchlab.optimizers.finite_sum import Record
from batchlab.results.store.run import Run, RunLostError, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan import fusable
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train import solve as solving

CANCER = ("dataset=breast_cancer", "model=logistic", "batch_schedule.size=21", "train.epochs=30")
SOLVERS = ("dasvrda", "svrg", "saga", "acc_prox_svrg", "katyusha", "fista")


def planned(*overrides: str) -> list[Planned]:
    keys = {text.split("=", 1)[0] for text in overrides}
    return compose([*(text for text in CANCER if text.split("=", 1)[0] not in keys), *overrides])


def prepared(root: Path, plans: list[Planned]) -> tuple[list[Run], list[RunConfig]]:
    """Their folders, as after a launch that started all of them in one process."""
    runs = [RunStore(root).run(each.run_id) for each in plans]
    for run, each in zip(runs, plans, strict=True):
        run.write_config(yaml.safe_dump(each.tree, sort_keys=False))
        run.write_state(state="running", fused=len(runs), group=runs[0].run_id)
    return runs, [RunConfig.load(run.config) for run in runs]


def states(runs: list[Run]) -> list[State]:
    return [run.read_state().state for run in runs]


@pytest.mark.parametrize("name", SOLVERS)
def test_each_has_the_numbers_that_it_has_alone(name: str, tmp_path: Path) -> None:
    plans = planned(f"optimizer={name}", "optimizer.step_size=0.1,0.5", "seed=1,2", "train.epochs=12")
    assert len({fusable.key(each.tree) for each in plans}) == 1
    runs, configs = prepared(tmp_path / "together", plans)
    assert {outcome.state for outcome in solving.solve_all(configs, [context(run) for run in runs])} == {"done"}
    alone, configs = prepared(tmp_path / "alone", plans)
    for one, other, config in zip(runs, alone, configs, strict=True):
        assert solve(config, context(other)).over
        assert rows(one) == rows(other)
    seeds = {row["objective"] for run in runs for row in rows(run)[-1:]}
    assert len(seeds) == (2 if name == "fista" else 4), "each has its own draws; FISTA has none"


def test_one_search_serves_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = planned("optimizer=acc_prox_svrg", "optimizer.step_size=tuned", "seed=range(0,3)")
    runs, configs = prepared(tmp_path, plans)
    makes, make = [], solving.make_solver
    monkeypatch.setattr(solving, "make_solver", lambda *a: makes.append(a[0].seed) or make(*a))
    solving.solve_all(configs, [context(run) for run in runs])
    assert [makes.count(seed) > 10 for seed in range(3)] == [True, False, False]
    infos = [run.read_state().info for run in runs]
    assert infos[0]["tuning"] == infos[1]["tuning"] == infos[2]["tuning"]
    assert not any("fused" in info for info in infos), "nobody shares the seconds of a run that is solved by itself"
    assert [info["group"] for info in infos] == [runs[0].run_id] * 3
    assert len({info["seconds"]["data"] for info in infos}) == 1, "read once, shared out"


def test_told_to_stop_those_whose_turn_has_not_come_begin_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = planned("optimizer=svrg", "seed=range(0,4)")
    calm, configs = prepared(tmp_path / "calm", plans)
    solving.solve_all(configs, [context(run) for run in calm])
    runs, configs = prepared(tmp_path / "parts", plans)
    contexts = [context(run) for run in runs]
    write, written = solving.Journal.__call__, 0

    def counted(self: solving.Journal, record: Record) -> bool:
        nonlocal written
        written += self.config.seed == 1
        if written == 5:
            for each in contexts:
                each.stop()
        return write(self, record)

    monkeypatch.setattr(solving.Journal, "__call__", counted)
    solving.solve_all(configs, contexts)
    monkeypatch.undo()
    assert states(runs) == ["done", *["interrupted"] * 3]
    assert [bool(run.checkpoints) for run in runs] == [False, True, False, False]
    left, configs = runs[1:], configs[1:]
    assert {outcome.state for outcome in solving.solve_all(configs, [context(run) for run in left])} == {"done"}
    for one, other in zip(calm, runs, strict=True):
        assert rows(one) == rows(other)


def test_one_that_another_process_has_taken_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, configs = prepared(tmp_path, planned("optimizer=svrg", "seed=range(0,3)"))

    def check_owned(self: Run) -> None:
        if self.run_id == runs[1].run_id and self.stream("metrics").exists():
            raise RunLostError(f"{self.folder}: taken")

    monkeypatch.setattr(Run, "check_owned", check_owned)
    ends = [outcome.state for outcome in solving.solve_all(configs, [context(run) for run in runs])]
    assert ends == ["done", "interrupted", "done"]


# -- who shares a process ----------------------------------------------------------------------------------


def test_runs_that_take_about_as_long_share_a_process() -> None:
    """A process has its runs one after the other: a place that has the long ones would be waited for."""

    def key(*overrides: str) -> str:
        (each,) = planned(*overrides)
        assert not fusable.why_alone(each.tree)
        return fusable.key(each.tree)

    base = key("optimizer=svrg")
    assert key("optimizer=svrg", "seed=7") == base
    assert key("optimizer=svrg", "optimizer.step_size=3.0", "optimizer.l1=0.1") == base
    for other in ("optimizer=saga", "optimizer=svrg batch_schedule.size=20", "optimizer=svrg train.epochs=40"):
        assert key(*other.split()) != base
    assert key("optimizer=svrg", "dataset.unit_rows=true") != base
    tuned = key("optimizer=svrg", "optimizer.step_size=tuned")
    assert key("optimizer=svrg", "optimizer.step_size=tuned", "seed=7") == tuned
    assert key("optimizer=svrg", "optimizer.step_size=tuned", "optimizer.l1=0.1") != tuned, "another search"


def test_who_keeps_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (each,) = planned("optimizer=svrg")
    assert fusable.why_alone(each.tree | {"callback": {"own": {}}}) == "callbacks"
    monkeypatch.setattr(fusable, "OURS", "somewhere.else.")
    assert fusable.why_alone(each.tree) == "a solver of one's own"


def test_a_dry_run_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ("sweep", *CANCER, "optimizer=svrg,saga", "seed=range(0,4)", "executor.devices=1", "--dry-run")
    code, out, _ = in_process(*asked, "--runs", str(tmp_path), monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "8 runs train in 2 groups of up to 4 (--fuse off trains each alone)\n" in out


# -- in real processes -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_cut_off_it_goes_on_to_the_same_rows(how: str, tmp_path: Path) -> None:
    long = ("train.epochs=3000", "train.checkpoint_seconds=0", "log.evaluate_every=30")
    plans = planned("optimizer=katyusha", "seed=range(0,3)", *long)
    runs = [RunStore(tmp_path / "cut").run(each.run_id) for each in plans]
    acted: list[str] = []

    def act() -> None:
        if not acted and runs[1].checkpoints:
            acted.append(how)
            agent = int(runs[1].read_state().info["pid"])
            os.kill(agent if how == "killed" else os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGINT)

    executor = LocalExecutor(devices=1)
    try:
        fleet = Fleet(executor)
        report, watcher = fleet.sweep(tmp_path / "calm", plans, slots=1)
        assert (report.exit_code, [len(group) for group in watcher.groups]) == (0, [3])
        report, _ = fleet.sweep(tmp_path / "cut", plans, slots=1, watcher=Watcher(on_tick=act))
        assert report.exit_code == (1 if how == "killed" else 130)
        assert acted
        assert states(runs)[0] == "done"
        assert State.RUNNING not in states(runs)
        report, watcher = fleet.sweep(tmp_path / "cut", plans, slots=1, options=SweepOptions(retry=True))
    finally:
        executor.close()
    assert report.exit_code == 0
    assert runs[0].run_id not in watcher.begun
    calm = [RunStore(tmp_path / "calm").run(each.run_id) for each in plans]
    assert [rows(run) for run in runs] == [rows(run) for run in calm]
    starts = [run.read_state().info["started"] for run in calm]
    assert starts == sorted(starts)
