"""Interrupted and resumed is the same run, bit for bit; what is damaged is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import Fleet, Watcher, frozen, one, rows, trained, wait_until

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch import launch
from batchlab.runner.launch.launch import run_job
from batchlab.runner.launch.process import INTERRUPTED
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.build import is_solver
from batchlab.runner.plan.conf.files import axes
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.train import kept as kept_files
from batchlab.runner.train.session import Session

EXACT = ("+measure=[full_gradient_norm,full_gradient_norm_paper]", "log.evaluate_every=0.4")
"""Rows that hang on every bit of the parameters, the order of the data and the augmentation."""


class Kept:
    """Sessions that training built, to look at their parameters afterwards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sessions: list[Session] = []
        build = Session.build

        def keep(*args: Any) -> Session:
            self.sessions.append(build(*args))
            return self.sessions[-1]

        monkeypatch.setattr(Session, "build", keep)

    @property
    def parameters(self) -> torch.Tensor:
        """Those of the last one, and its buffers."""
        state = self.sessions[-1].model.state_dict()
        return torch.cat([t.reshape(-1).double() for t in state.values()])


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Keeps every session of the test."""
    return Kept(monkeypatch)


PER_SAMPLE = (
    "model=mlp",
    "batch_schedule=norm_test",
    "batch_schedule.initial=25",
    "batch_schedule.maximum=50",
    "batch_schedule.estimator=per_sample",
    "train.epochs=2",
)
"""A step that is tested rounds otherwise than one that is not, unless dividing by the batch is exact."""
SETUPS = {
    "shb-batchnorm-augmented": ("model=resnet8", "model.width=4", "dataset.pad=1", "dataset.rotate=10.0"),
    "growing-batch": ("batch_schedule=exponential", "lr_schedule=linear", "train.epochs=2"),
    "adaptive": ("batch_schedule=norm_test", "batch_schedule.initial=16", "train.groups=4"),
    "at-the-cap": (*PER_SAMPLE, "batch_schedule.eta=0.05"),
    "tested-every-third-step": (*PER_SAMPLE, "batch_schedule.eta=0.9", "batch_schedule.interval=3"),
    "per-epoch": ("train.epochs=3", "log.evaluate_every=1", "log.steps=true"),
    "float64": ("train.precision=float64", "optimizer=adam"),
}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
def test_bit_for_bit(setup: tuple[str, ...], tmp_path: Path, kept: Kept) -> None:
    overrides = [*EXACT, *setup]
    overrides = list({o.split("=", 1)[0]: o for o in overrides}.values())
    whole, config = frozen(tmp_path / "whole", *overrides)
    assert trained(whole, config) == "done"
    expected = kept.parameters
    parts, config = frozen(tmp_path / "parts", *overrides)
    pieces = 0
    while trained(parts, config, stop_after=3) == "interrupted":  # every 8 steps: in the middle of epochs too
        assert parts.checkpoint.exists()
        pieces += 1
    assert pieces >= 1
    assert torch.equal(kept.parameters, expected)
    assert rows(parts) == rows(whole)
    if whole.steps.exists():
        assert parts.steps.exists()
    assert not parts.checkpoint.exists()
    assert parts.read_state().state is State.DONE


def trainable(name: str) -> bool:
    """Is it an optimizer of the training loop, rather than a solver of finite sums?"""
    return not is_solver(one(f"optimizer={name}").tree["optimizer"])


@pytest.mark.parametrize("name", [name for name in axes()["optimizer"] if trainable(name)])
def test_every_optimizers_state_comes_back(name: str, tmp_path: Path, kept: Kept) -> None:
    setup = ["optimizer=" + name, "train.epochs=0.5", "batch_schedule.size=32", "train.samples=600"]
    if name.startswith("vr_"):
        setup.append("train.groups=8")
    run, config = frozen(tmp_path / "whole", *setup)
    trained(run, config)
    expected = kept.parameters
    run, config = frozen(tmp_path / "parts", *setup)
    while trained(run, config, stop_after=2) == "interrupted":
        pass
    assert torch.equal(kept.parameters, expected)


def damage(path: Path, how: str) -> None:
    """Truncate a file, or write nonsense into it."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"nonsense")


@pytest.mark.parametrize("how", ["truncated", "nonsense"])
def test_a_damaged_checkpoint_is_named(how: str, tmp_path: Path) -> None:
    run, config = frozen(tmp_path, "train.epochs=2")
    assert trained(run, config, stop_after=3) == "interrupted"
    damage(run.checkpoint, how)
    with pytest.raises(ConfigError) as caught:
        trained(run, config)
    assert str(caught.value).startswith(f"{run.checkpoint} is damaged")
    assert "delete checkpoint.pt in " in str(caught.value)
    run.checkpoint.unlink()
    assert trained(run, config) == "done"


def test_rows_that_a_checkpoint_does_not_know_are_written_again_once(tmp_path: Path) -> None:
    """Killed after rows were written but before the next checkpoint: no row is lost, none is there twice."""
    run, config = frozen(tmp_path, *EXACT, "train.epochs=3")
    assert trained(run, config, stop_after=9) == "interrupted"
    kept = run.checkpoint.read_bytes()
    assert trained(run, config, stop_after=9) == "interrupted"
    seen = read_stream(run, "metrics")
    run.checkpoint.write_bytes(kept)
    with run.stream("metrics").open("a") as torn:
        torn.write('{"samples": 12')
    assert trained(run, config) == "done"
    final = rows(run)
    assert [r["samples"] for r in final] == sorted({r["samples"] for r in final})
    assert [r["test_loss"] for r in seen] == [r["test_loss"] for r in final[: len(seen)]]


def test_rows_missing_from_disk_are_noticed(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, *EXACT)
    assert trained(run, config, stop_after=9) == "interrupted"
    run.stream("metrics").write_text("")
    with pytest.raises(ValueError, match=r"delete .*checkpoint"):
        trained(run, config)


def test_killed_between_sealing_and_saying_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    run, config = frozen(tmp_path, "train.epochs=2", "train.checkpoint_seconds=0.0")
    write = Run.write_state

    def killed(self: Run, **changes: Any) -> Any:
        if changes.get("state") == "done":
            raise KeyboardInterrupt
        return write(self, **changes)

    monkeypatch.setattr(Run, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(run, config)
    monkeypatch.setattr(Run, "write_state", write)
    before, expected = rows(run), kept.parameters
    assert trained(run, config) == "done"
    assert rows(run) == before
    assert torch.equal(kept.parameters, expected)


# -- real processes ----------------------------------------------------------------------------------------

LONG = (*EXACT[:1], "model=mlp", "train.epochs=40", "batch_schedule.size=32", "log.evaluate_every=1")


def ranks_of(run: Run) -> list[int]:
    """Processes of this run, its agent's children included."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if Path(os.readlink(entry / "fd" / "1")).is_relative_to(run.folder.resolve()):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize(
    ("nproc", "kill"),
    [
        pytest.param(1, signal.SIGTERM, marks=pytest.mark.slow),
        (2, signal.SIGTERM),
        (1, signal.SIGKILL),
        pytest.param(2, signal.SIGKILL, marks=pytest.mark.slow),
    ],
    ids=["1-SIGTERM", "2-SIGTERM", "1-SIGKILL", "2-SIGKILL"],
)
def test_killed_in_earnest(kill: signal.Signals, nproc: int, tmp_path: Path, fleet: Fleet) -> None:
    """Signals to the job of a real run, in the middle; the next sweep resumes it to the very same rows."""
    planned = one(*LONG, f"nproc={nproc}", "train.checkpoint_seconds=0")
    whole = fleet.train(tmp_path / "whole", planned)
    run = RunStore(tmp_path / "parts").run(planned.run_id)

    def interfere() -> None:
        if len(read_stream(run, "metrics")) >= 2 and run.checkpoint.exists() and not killed:
            killed.append(run.read_state().info["pid"])
            os.kill(killed[0], kill)

    killed: list[int] = []
    watcher = Watcher(on_tick=interfere)
    report, _ = fleet.sweep(tmp_path / "parts", [planned], slots=4, watcher=watcher)
    assert killed, "the run was over before it could be killed"
    state = watcher.states[run.run_id].state
    assert state is (State.INTERRUPTED if kill == signal.SIGTERM else State.CRASHED)
    assert report.exit_code == 1
    assert not ranks_of(run), "orphans"
    assert run.checkpoints, "the one before, where it was killed while one took the other's place"
    saved = read_stream(run, "metrics")
    assert len(saved) >= 2
    _, again = fleet.sweep(tmp_path / "parts", [planned], slots=4)
    assert again.log[0] == ("resumed", run.run_id)
    assert rows(run) == rows(whole)


def test_a_killed_rank_takes_its_run_with_it(tmp_path: Path, fleet: Fleet) -> None:
    planned = one(*LONG, "nproc=2", "train.checkpoint_seconds=0")
    run = RunStore(tmp_path).run(planned.run_id)
    killed: list[int] = []

    def interfere() -> None:
        agent = run.read_state().info.get("pid")
        ranks = [p for p in ranks_of(run) if p != agent]
        if len(read_stream(run, "metrics")) >= 2 and len(ranks) == 2 and not killed:
            killed.append(ranks[0])
            os.kill(ranks[0], signal.SIGKILL)

    report, watcher = fleet.sweep(tmp_path, [planned], slots=4, watcher=Watcher(on_tick=interfere))
    state = watcher.states[run.run_id]
    assert killed
    assert (state.state, report.exit_code) == (State.FAILED, 1)
    assert "SIGKILL" in str(state.reason)
    assert not ranks_of(run)
    assert fleet.sweep(tmp_path, [planned], slots=4)[1].begun[run.run_id] == 0, "failed runs wait for --retry"
    fleet.sweep(tmp_path, [planned], slots=4, options=SweepOptions(retry=True))
    assert run.read_state().state is State.DONE


@pytest.mark.slow
def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    """SIGKILL to the command itself: its warm process and the run end, with a checkpoint."""
    overrides = [*LONG, "train.epochs=4000", "dataset=digits", "model.hidden=[16]", "train.device=cpu"]
    overrides = list({o.split("=", 1)[0]: o for o in overrides}.values())
    command = [sys.executable, "-m", "batchlab.runner.cli", "train", *overrides, "--runs", str(tmp_path)]
    command[1:3] = ["-c", "from batchlab.runner.cli import main; main()"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(lambda: any(len(read_stream(run, "metrics")) > 1 for run in RunStore(tmp_path).runs()))
    (run,) = RunStore(tmp_path).runs()
    process.kill()
    process.wait()
    wait_until(lambda: not ranks_of(run))
    assert run.read_state().state is State.INTERRUPTED
    assert run.checkpoint.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_ones_before_and_nothing_else(tmp_path: Path) -> None:
    run = RunStore(tmp_path).run("abc").create()
    for samples in (1, 2, 3):
        kept_files.write(run, {"samples": samples})
    with pytest.raises(Exception, match="pickle"):
        kept_files.write(run, {"samples": 4, "bad": lambda: None})
    assert [torch.load(path) for path in run.checkpoints] == [{"samples": 3}, {"samples": 2}]
    assert {file.name for file in run.folder.iterdir()} == {"checkpoint.pt", "checkpoint.before.pt", "log"}


def test_a_checkpoint_of_0_1_goes_on(tmp_path: Path) -> None:
    """It kept the state of the one measure that has any under a name of its own."""
    overrides = (*EXACT, "dataset.pad=1", "train.epochs=3")
    whole, config = frozen(tmp_path / "whole", *overrides)
    assert trained(whole, config) == "done"
    run, config = frozen(tmp_path / "cut", *overrides)
    assert trained(run, config, stop_after=15) == "interrupted"
    state = torch.load(run.checkpoint, weights_only=True)
    measures = state["ranks"][0].pop("measures")
    assert measures["full_gradient_norm_paper"]["epoch"] > 0
    state["augmented"] = measures["full_gradient_norm_paper"]
    torch.save(state, run.checkpoint)
    assert trained(run, config) == "done"
    assert rows(run) == rows(whole)


def test_a_stop_at_the_first_moment_is_one_of_a_run_that_was_cut_off_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is taken, and run.json still says of a try that was killed that it trains."""
    run, _ = frozen(tmp_path)
    run.write_state(state="running")
    assert run.read_state().state is State.CRASHED
    hold = Run.hold

    @contextmanager
    def told_meanwhile(self: Run) -> Iterator[Run]:
        with hold(self) as held:
            os.kill(os.getpid(), signal.SIGTERM)
            yield held

    monkeypatch.setattr(Run, "hold", told_meanwhile)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run_job(run, lambda *_: pytest.fail("it was told to stop")) == INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    assert run.read_state().state is State.INTERRUPTED


def test_a_stop_just_before_the_ranks_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last moment before the agent starts: what it raises when it is told must be heard by then."""
    run, _ = frozen(tmp_path)
    asked: list[bool] = []

    def told_meanwhile() -> int:
        if not asked:
            asked.append(True)
            signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(launch, "oom_kills", told_meanwhile)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run_job(run, launch.elastic) == INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked
    assert run.read_state().state is State.INTERRUPTED
