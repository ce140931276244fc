"""Groups of runs in real processes: what is written, who drops out, kills, stops, and runs that come back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from chaos_engines import below
from runs import Fleet, Watcher, one, rows

from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.launch.launch import LaunchFailure, _settle
from batchlab.runner.launch.process import APART
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned

LONG = ("train.epochs=12", "train.checkpoint_seconds=0", "log.evaluate_every=0.5")


@pytest.fixture
def together(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The shared warm process, which trains groups, whether that pays or not."""
    monkeypatch.setattr(fleet.executor, "together", 4)
    return fleet


def seeds(n: int, *overrides: str) -> list[Planned]:
    return [one("optimizer=sgd", f"seed={seed}", *overrides) for seed in range(n)]


def runs_of(root: Path, plans: list[Planned]) -> list[Run]:
    return [RunStore(root).run(planned.run_id) for planned in plans]


def test_runs_of_one_process_have_each_a_folder_like_any_other(tmp_path: Path, together: Fleet) -> None:
    plans = seeds(3)
    report, watcher = together.sweep(tmp_path, plans, slots=1)
    assert (report.exit_code, report.states) == (0, {State.DONE: 3})
    assert watcher.groups == [[planned.run_id for planned in plans]]
    runs = runs_of(tmp_path, plans)
    infos = [run.read_state().info for run in runs]
    assert [(info["fused"], info["group"]) for info in infos] == [(3, plans[0].run_id)] * 3
    assert len({info["pid"] for info in infos}) == 1
    assert [len(rows(run)) for run in runs] == [2, 2, 2]
    assert f"trained together with {runs[0].run_id}" in (runs[1].log / "launch.log").read_text()
    assert not any((run.folder / "owner").exists() for run in runs)
    assert not any(run.held() for run in runs)


@pytest.mark.parametrize("begun", [False, True], ids=["pending", "interrupted"])
def test_a_run_that_is_set_aside_says_whether_it_had_begun(tmp_path: Path, begun: bool) -> None:
    """To find out whether groups pay is no training: nobody shall read that ten runs were interrupted."""
    run = RunStore(tmp_path).run("0123456789ab")
    with run.hold():
        run.write_state(state="running")
        run.log.mkdir(exist_ok=True)
        if begun:
            run.checkpoint.touch()
        assert _settle(run, LaunchFailure("ApartError: too dear", ""), stopped=False, together=True) == APART
    found = run.read_state()
    assert found.state is (State.INTERRUPTED if begun else State.PENDING)
    assert found.info["apart"] == "too dear"


def test_a_run_alone_is_not_fused_whatever_it_was_before(tmp_path: Path, together: Fleet) -> None:
    (planned,) = plans = seeds(1)
    run = RunStore(tmp_path).run(planned.run_id)
    run.write_state(state="interrupted", fused=4, group="other")
    assert together.sweep(tmp_path, plans, slots=1)[0].exit_code == 0
    assert not {"fused", "group"} & run.read_state().info.keys()


def test_a_run_that_is_trained_elsewhere_drops_out(tmp_path: Path, together: Fleet) -> None:
    plans = seeds(3)
    runs = runs_of(tmp_path, plans)
    with ExitStack() as holding:
        holding.enter_context(runs[1].hold())
        watcher = Watcher()
        watcher.on_tick = lambda: holding.close() if runs[0].read_state().state is State.DONE else None
        report, _ = together.sweep(tmp_path, plans, slots=1, watcher=watcher)
    assert (report.exit_code, report.states) == (0, {State.DONE: 3})
    assert [run.read_state().info.get("fused") for run in runs] == [2, None, 2]
    assert watcher.begun == {runs[0].run_id: 1, runs[1].run_id: 2, runs[2].run_id: 1}


def interfering(root: Path, plans: list[Planned], act: Callable[[Run], None]) -> Watcher:
    """A watcher that acts once, when the first of the runs has written a checkpoint."""
    acted: list[Run] = []

    def interfere() -> None:
        run = RunStore(root).run(plans[0].run_id)
        if not acted and run.checkpoints and run.read_state().state is State.RUNNING:
            acted.append(run)
            act(run)

    return Watcher(on_tick=interfere)


def kill(victim: str, executor: LocalExecutor) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        agent = int(run.read_state().info["pid"])
        assert executor.server is not None
        pid = {"warm": executor.server.pid, "agent": agent, "rank": below(agent)[0][0] if below(agent) else agent}
        os.kill(pid[victim], signal.SIGKILL)

    return act


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("victim", ["rank", "agent", "warm"])
def test_a_killed_group_goes_on_to_the_same_rows(victim: str, tmp_path: Path, together: Fleet) -> None:
    plans = seeds(3, *LONG)
    together.sweep(tmp_path / "calm", plans, slots=1)
    executor = LocalExecutor(devices=1, fuse=4) if victim == "warm" else together.executor
    storm = Fleet(executor)
    watcher = interfering(tmp_path / "storm", plans, kill(victim, executor))
    report, _ = storm.sweep(tmp_path / "storm", plans, slots=1, watcher=watcher)
    assert report.exit_code == 1
    assert State.RUNNING not in report.states
    assert sum(report.states.values()) == 3
    left = [torch.load(run.checkpoints[0])["samples"] for run in runs_of(tmp_path / "storm", plans) if run.checkpoints]
    again, later = storm.sweep(tmp_path / "storm", plans, slots=1, options=SweepOptions(retry=True))
    if victim == "warm":
        executor.close()
    assert again.exit_code == 0
    assert all(n == 1 for n in later.begun.values())
    for calm, run in zip(runs_of(tmp_path / "calm", plans), runs_of(tmp_path / "storm", plans), strict=True):
        assert [one.read_state().info["fused"] for one in (calm, run)] == [3, 3]
        assert run.read_state().state is State.DONE
        if len(left) == 3 and len({*left}) == 1:
            assert rows(run) == rows(calm)
        else:  # killed between the checkpoints of two of them: from there on the groups were others
            check_close(rows(run), rows(calm))


def check_close(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            number = isinstance(value, (int, float)) and isinstance(b[name], (int, float))
            assert value == (pytest.approx(b[name], rel=1e-3, abs=1e-6) if number else b[name]), name


@pytest.mark.slow
def test_a_group_that_is_stopped_goes_on_as_a_group(tmp_path: Path, together: Fleet) -> None:
    plans = seeds(3, *LONG)
    together.sweep(tmp_path / "calm", plans, slots=1)
    watcher = interfering(tmp_path / "parts", plans, lambda run: os.kill(os.getpid(), signal.SIGINT))
    report, _ = together.sweep(tmp_path / "parts", plans, slots=1, watcher=watcher)
    assert report.exit_code == 130
    assert report.states[State.INTERRUPTED] + report.states[State.DONE] == 3
    runs = runs_of(tmp_path / "parts", plans)
    assert all(run.checkpoints for run in runs if run.read_state().state is State.INTERRUPTED)
    again, _ = together.sweep(tmp_path / "parts", plans, slots=1)
    assert again.exit_code == 0
    assert [run.read_state().info["fused"] for run in runs] == [3, 3, 3]
    for calm, run in zip(runs_of(tmp_path / "calm", plans), runs, strict=True):
        assert rows(run) == rows(calm)


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A warm process that cannot train runs together; how that ends is the parameter."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'batchlab.runner.launch.server' in ' '.join(sys.orig_argv):\n"
        "    import batchlab.runner.train.together as package\n"
        "    def refuse(configs, contexts):\n"
        f"        {request.param}\n"
        "    package.train_together = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    executor = LocalExecutor(devices=1)
    yield Fleet(executor)
    executor.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusing", "why"),
    [
        ("raise package.ApartError('it would not pay here')", "it would not pay here"),
        ("raise KeyError('lr')", "KeyError: 'lr'"),
        ("raise MemoryError('no room')", "MemoryError: no room"),
    ],
    indirect=["refusing"],
)
def test_what_cannot_be_trained_together_is_trained_alone(refusing: Fleet, why: str, tmp_path: Path) -> None:
    plans = seeds(4)
    refusing.executor.together = 2
    report, watcher = refusing.sweep(tmp_path / "runs", plans, slots=1)
    assert (report.exit_code, report.states) == (0, {State.DONE: 4})
    assert watcher.groups == [[planned.run_id for planned in plans[:2]]]
    said = "4 runs of model=mlp dataset=digits that were to train together train each alone"
    assert watcher.notes == [f"{said}: {why}"]
    for run in runs_of(tmp_path / "runs", plans[:2]):
        assert f"({why}): it trains alone from here on\n" in (run.log / "launch.log").read_text()
    infos = [run.read_state().info for run in runs_of(tmp_path / "runs", plans)]
    assert not any({"fused", "group", "reason", "apart"} & info.keys() for info in infos)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signals of the kernel")
@pytest.mark.parametrize("refusing", ["import os; os.kill(os.getpid(), 11)"], indirect=True)
def test_a_signal_ends_each_run_of_a_group_as_it_would_one_alone(refusing: Fleet, tmp_path: Path) -> None:
    plans = seeds(2)
    report, watcher = refusing.sweep(tmp_path / "runs", plans, slots=1)
    assert (report.exit_code, report.states) == (1, {State.FAILED: 2})
    assert {state.reason for state in watcher.states.values()} == {"rank 0: ended by SIGSEGV"}
