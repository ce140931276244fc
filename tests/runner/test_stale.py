"""What a run was made of: whatever changes it makes the run stale, and nothing else does; through the real command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import rows, wait_until

from batchlab.results.show.status import read_status
from batchlab.results.store.aside import stale_notes, stale_store
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan import fingerprint
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.validate import validate
from batchlab.runner.stale import Staleness, stale_lines

COMMAND = [sys.executable, "-c", "from batchlab.runner.cli import main; main()"]
SGD = """import torch
from . import scale
class MySGD(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, closure=None):
        import helper
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"] * scale.FACTOR * helper.FACTOR)
"""
READER = """from pathlib import Path
import numpy as np
from batchlab.datasets import Dataset
def load(table="tables/named.csv", root=None):
    a = np.loadtxt(table, delimiter=",")
    b = np.load(Path(__file__).parent / "tables" / "hidden.npy")
    y = (a[:, 0] > 0).astype(np.int64)
    return Dataset("mine", a + b, y, a[:9] + b[:9], y[:9], 2)
"""
FILES = {
    "mine/__init__.py": SGD,
    "mine/scale.py": "FACTOR = 1.0\n",
    "mine/unused.py": "FACTOR = 1.0\n",
    "helper.py": "FACTOR = 1.0\n",
    "reader.py": READER,
    "conf/optimizer/mine.yaml": "name: mine\n_target_: mine.MySGD\nlr: 0.1\n",
    "conf/dataset/table.yaml": "name: table\n_target_: reader.load\ntable: tables/named.csv\nroot: null\n",
}
SMALL = ("model=mlp", "model.hidden=[8]", "train.device=cpu", "batch_schedule.size=16")
TINY = (*SMALL, "train.epochs=1")
MINE = ("optimizer=mine", "dataset=table", *TINY)
LONG = ("optimizer=mine", "dataset=table", *SMALL, "train.epochs=100000", "train.checkpoint_seconds=0")


@dataclass
class Project:
    """A user's folder: an optimizer in a package with helpers, a reader, tables."""

    root: Path

    @property
    def store(self) -> RunStore:
        return RunStore(self.root / "runs")

    def batchlab(self, *arguments: str, code: int = 0) -> str:
        """What the command says."""
        environment = os.environ | {"BATCHLAB_DATA": str(self.root / "data"), "COLUMNS": "400"}
        done = subprocess.run([*COMMAND, *arguments], cwd=self.root, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def sweep(self, *arguments: str, code: int = 0) -> str:
        return self.batchlab("sweep", *MINE, *arguments, code=code)

    def one(self) -> Run:
        (run,) = self.store.runs()
        return run


def project(root: Path) -> Project:
    rng = np.random.default_rng(0)
    for name in ("data", "tables"):
        (root / name).mkdir(parents=True)
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    np.savetxt(root / "tables" / "named.csv", rng.standard_normal((40, 3)), delimiter=",")
    np.save(root / "tables" / "hidden.npy", rng.standard_normal((40, 3)))
    y = np.arange(40) % 2
    x = rng.standard_normal((40, 3))
    np.savez(root / "data" / "wine.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    return Project(root)


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for modules beside the user puts this test's folder on the path: not for the tests that follow."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def mine(tmp_path: Path) -> Project:
    return project(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One run of one's own optimizer on one's own table, and one on a file in the data root."""
    made = project(tmp_path_factory.mktemp("trained"))
    made.batchlab("sweep", "optimizer=mine", "dataset=table,npz", "dataset.file@npz=wine", *TINY)
    return made


def whys(made: Project, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, str]:
    """Why the runs are stale, by data set, as a command that begins now sees it."""
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("BATCHLAB_DATA", str(made.root / "data"))
    plans = compose(MINE) + compose(["optimizer=mine", "dataset=npz", "dataset.file=wine", *TINY])
    looked = Staleness(made.store, SweepOptions(**options))
    states = [made.store.run(planned.run_id).read_state() for planned in plans]
    assert {state.state for state in states} == {State.DONE}
    return {p.tree["dataset"]["name"]: looked.why(p, state) for p, state in zip(plans, states, strict=True)}


def append(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(path.read_text() + text)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def touch(path: Path) -> None:
    os.utime(path, (1, 1))


BOTH, TABLE, NPZ, NEITHER = ("table", "npz"), ("table",), ("npz",), ()


@pytest.mark.parametrize(
    ("file", "change", "stale"),
    [
        ("mine/__init__.py", append("x = 1\n"), BOTH),
        ("mine/__init__.py", append("# a comment\n"), BOTH),
        ("mine/scale.py", append("FACTOR = 0.5\n"), BOTH),
        ("helper.py", append("FACTOR = 0.5\n"), BOTH),
        ("mine/unused.py", append("FACTOR = 0.5\n"), NEITHER),
        ("mine/__init__.py", touch, NEITHER),
        ("reader.py", append("# a comment\n"), TABLE),
        ("tables/named.csv", flip_a_bit, TABLE),
        ("tables/hidden.npy", flip_a_bit, TABLE),
        ("tables/hidden.npy", touch, NEITHER),
        ("data/wine.npz", flip_a_bit, NPZ),
        ("data/wine.npz", touch, NEITHER),
    ],
)
def test_what_changes_a_run_makes_it_stale(
    file: str,
    change: Callable[[Path], None],
    stale: tuple[str, ...],
    trained: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = trained.root / file
    before = path.read_bytes()
    change(path)
    try:
        found = whys(trained, monkeypatch)
        trusted = whys(trained, monkeypatch, trust_code=True)
        status = " ".join(stale_notes(trained.store, read_status(trained.store).states))
    finally:
        path.write_bytes(before)
    name = file.removeprefix("data/")
    assert {dataset: why for dataset, why in found.items() if why} == dict.fromkeys(stale, f"{name} has changed")
    assert set(trusted.values()) == {""}
    assert ("stale" in status, name in status) == (bool(stale), bool(stale))
    assert set(whys(trained, monkeypatch).values()) == {""}, "put back as it was, it is what it was"


def test_a_package_of_another_version_makes_its_runs_stale(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (planned,) = compose([])
    planned.tree["model"] = {"name": "theirs", "_target_": "sklearn.pipeline.Theirs"}
    looked = Staleness(mine.store, SweepOptions())
    run = mine.store.run(planned.run_id)
    looked.begin(planned, run)
    run.write_state(state="done", sealed={})
    state = run.read_state()
    now = state.info["fingerprint"]["package: scikit-learn"]["is"]
    assert "package: torch" not in state.info["fingerprint"], "every run has it, whoever has the target"
    assert Staleness(mine.store, SweepOptions()).why(planned, state) == ""
    monkeypatch.setattr(fingerprint, "package_version", lambda name: "99.0" if name == "scikit-learn" else None)
    assert Staleness(mine.store, SweepOptions()).why(planned, state) == f"scikit-learn is 99.0, was {now}"


@pytest.mark.slow
def test_edited_code_is_trained_anew_and_the_old_run_kept(mine: Project) -> None:
    mine.sweep("--name", "s")
    before = rows(mine.one())
    assert "1 done already" in mine.sweep()
    append("FACTOR = 0.5\n")(mine.root / "helper.py")
    table = mine.batchlab("table", "--metric", "train_loss")
    assert re.search(r"1 run .*stale.*helper\.py has changed", table)
    assert "1 run is stale, as helper.py has changed" in mine.sweep("--dry-run")
    said = mine.sweep("--trust-code")
    assert re.search(r"1 run is stale, as helper\.py has changed since .*still counted", said)
    assert "1 done already" in said
    assert rows(mine.one()) == before
    said = mine.sweep("--name", "s")
    assert re.search(r"1 run is stale, as helper\.py has changed since \(\w+\): trained anew", said)
    assert rows(mine.one()) != before
    (old,) = stale_store(mine.store).runs()
    assert rows(old) == before
    assert old.read_state().info["set_aside"]["why"] == "helper.py has changed"
    assert [*mine.root.glob("runs/*/metrics.parquet")] == [mine.one().metrics], "who reads all runs reads no run twice"
    assert "stale" not in mine.batchlab("table", "--metric", "train_loss")
    status = mine.batchlab("status")
    assert "1 run: 1 done" in status
    assert re.search(r"1 earlier run .*\.stale", status)
    assert "train loss" in mine.batchlab("table", "--metric", "train_loss", "--runs", "runs/.stale")
    assert "1 done already" in mine.sweep()


@pytest.mark.slow
def test_rerun_trains_what_is_done_again(mine: Project) -> None:
    mine.sweep()
    before, began = rows(mine.one()), mine.one().read_state().info["started"]
    said = mine.sweep("--rerun")
    assert "as asked" in said
    (old,) = stale_store(mine.store).runs()
    assert rows(old) == rows(mine.one()) == before
    assert old.read_state().info["started"] == began
    assert "1 done already" in mine.sweep()


@pytest.mark.slow
def test_a_run_of_before_there_were_fingerprints_is_done(mine: Project) -> None:
    mine.sweep("seed=0,1")
    for run in mine.store.runs():
        content = json.loads(run.state_file.read_text())
        del content["fingerprint"]
        run.state_file.write_text(json.dumps(content))
    append("FACTOR = 0.5\n")(mine.root / "helper.py")
    said = mine.sweep("seed=0,1")
    assert "2 done already" in said
    assert said.count("2 runs done before batchlab kept what runs are made of") == 1


def killed(made: Project) -> Run:
    """A run whose command was killed in the middle, with its checkpoint."""
    process = subprocess.Popen([*COMMAND, "sweep", *LONG], cwd=made.root, stdout=subprocess.DEVNULL)
    wait_until(lambda: any(len(read_stream(r, "metrics")) > 2 and r.checkpoint.exists() for r in made.store.runs()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = made.one()
    wait_until(lambda: not run.held())
    assert run.checkpoint.exists()
    return run


def begun(run: Run) -> bool:
    return run.read_state().state is State.RUNNING and len(read_stream(run, "metrics")) > 2


@pytest.mark.slow
@pytest.mark.parametrize("edited", [False, True])
def test_a_checkpoint_of_other_code_is_not_continued(edited: bool, mine: Project) -> None:
    """Killed and asked for again: the same code goes on where it was, other code from the beginning."""
    run = killed(mine)
    first = read_stream(run, "metrics")
    if edited:
        append("FACTOR = 0.5\n")(mine.root / "helper.py")
    process = subprocess.Popen([*COMMAND, "sweep", *LONG], cwd=mine.root, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: begun(run))
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    second = read_stream(run, "metrics")
    stale = [*stale_store(mine.store).runs()]
    if not edited:
        assert "resumed" in said
        assert (len(stale), second[:2]) == (0, first[:2])
        return
    assert "helper.py has changed" in said
    assert "resumed" not in said
    losses = [[row["train_loss"] for row in part[1:3]] for part in (first, second)]
    assert losses[0] != losses[1]
    assert read_stream(stale[0], "metrics")[: len(first)] == first
    assert stale[0].checkpoint.exists()


@pytest.mark.parametrize("what", ["finished", "held", "as it was"])
def test_what_another_sweep_did_meanwhile_stands(what: str, tmp_path: Path) -> None:
    """Between looking and beginning, another command may have trained the run anew, or be training it."""
    store = RunStore(tmp_path).prepare()
    run = store.run("abc")
    run.write_state(state="done", sealed={}, fingerprint={"code: x.py": {"is": "old"}})
    planned = Planned("abc", {"optimizer": {"name": "o", "_target_": "x.y"}})
    looked = Staleness(store, SweepOptions())
    assert looked.why(planned, run.read_state()) == "x.py is no longer part of it"
    if what == "finished":
        run.write_state(state="done", sealed={}, fingerprint={"code: x.py": {"is": "newer"}})
    if what == "held":
        with run.hold():
            looked.begin(planned, run)
    else:
        looked.begin(planned, run)
    assert len([*stale_store(store).runs()]) == (what == "as it was")
    assert run.read_state().state is (State.PENDING if what == "as it was" else State.DONE)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_what_goes_on_was_made_of_what_it_began_with(checkpoint: bool, tmp_path: Path) -> None:
    """Trusted code goes on from a checkpoint of other code: the run stays stale. From its beginning it is all new."""
    store = RunStore(tmp_path).prepare()
    run = store.run("abc")
    run.write_state(state="interrupted", fingerprint={"code: x.py": {"is": "old"}})
    if checkpoint:
        run.checkpoint.touch()
    planned = Planned("abc", {"optimizer": {"name": "o", "_target_": "x.y"}})
    looked = Staleness(store, SweepOptions(trust_code=True))
    assert looked.why(planned, run.read_state()) == ""
    assert bool(looked.trusted()) == checkpoint
    assert looked.why(planned, run.read_state()) == ""
    assert looked.trusted() == {}, "said once"
    looked.begin(planned, run)
    again = Staleness(store, SweepOptions()).why(planned, run.read_state())
    assert bool(again) == checkpoint
    assert not [*stale_store(store).runs()]


def test_what_failed_before_it_had_a_checkpoint_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whoever mends a fault and tries again does not collect failures."""
    store = RunStore(tmp_path).prepare()
    run = store.run("abc")
    planned = Planned("abc", {"optimizer": {"name": "o", "_target_": "x.y"}})
    for _ in range(2):
        run.write_state(state="failed", fingerprint={"code: x.py": {"is": "old"}})
        looked = Staleness(store, SweepOptions(retry=True))
        assert looked.why(planned, run.read_state()) == ""
        looked.begin(planned, run)
        assert run.read_state().info["fingerprint"] == {}
    assert not [*stale_store(store).runs()]


@pytest.mark.slow
def test_the_users_commit_is_kept(mine: Project) -> None:
    def git(*command: str) -> str:
        named = ["-c", "user.name=n", "-c", "user.email=e"]
        done = subprocess.run(["git", *named, *command], cwd=mine.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "mine", "helper.py", "conf")
    git("commit", "--quiet", "-m", "first")
    head = git("rev-parse", "--short=12", "HEAD")
    places = [mine.root / "mine", mine.root]
    assert fingerprint.commits(places[:1]) == {str(mine.root): head}
    assert fingerprint.commits(places) == {str(mine.root): f"{head}+"}, "reader.py is in no commit"
    git("add", "reader.py")
    git("commit", "--quiet", "-m", "second")
    mine.sweep()
    assert mine.one().read_state().info["user_git"] == {str(mine.root): git("rev-parse", "--short=12", "HEAD")}
    append("#\n")(mine.root / "helper.py")
    assert next(iter(fingerprint.commits(places).values())).endswith("+")
    assert fingerprint.commits([mine.root.parent]) == {}


def test_a_reader_of_many_files_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: Project) -> None:
    (tmp_path / "images").mkdir()
    for i in range(30):
        np.save(tmp_path / "images" / f"{i}.npy", np.ones((40, 3)) * i)
    many = "    b = sum(np.load(f'images/{i}.npy') for i in range(30))\n"
    (tmp_path / "reader.py").write_text(re.sub(r"    b = .*\n", many, READER))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "reader", raising=False)
    plans = compose(["dataset=table", *TINY])
    validate(plans)
    monkeypatch.delitem(sys.modules, "reader", raising=False)
    parts = fingerprint.Fingerprints().of(plans[0].tree)
    assert parts.keys() == {"code: reader.py", "data: tables/named.csv", "data: images"}
    np.save(tmp_path / "images" / "7.npy", np.zeros((40, 3)))
    assert fingerprint.Fingerprints().of(plans[0].tree)["data: images"] != parts["data: images"]


def test_whatever_is_named_by_its_path_is_part_of_a_run(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss by its path, a class that another is given by name; not what only looks like one, nor the executor."""
    monkeypatch.chdir(mine.root)
    tree = {
        "train": {"loss": "helper.loss"},
        "optimizer": {"name": "sgd", "_target_": "batchlab.optimizers.SGD", "inner": ["mine.scale.Scale"], "x": "1.5"},
        "model": {"name": "reader.load", "path": "data/wine.npz", "_target_": "torchvision.models.vgg11"},
        "executor": {"name": "here", "_target_": "mine.unused.Executor"},
        "note": "sklearn.pipeline",
    }
    parts = fingerprint.Fingerprints().of(tree)
    scale = {"code: mine/scale.py", "code: mine/__init__.py"}  # which imports helper.py too
    assert parts.keys() == scale | {"code: helper.py", "code: reader.py", "package: torchvision"}


def test_lines_name_a_few_runs() -> None:
    (line,) = stale_lines({f"r{i}": "x.py has changed" for i in range(9)}, "runs")
    assert "9 runs are stale, as x.py has changed since (r0 r1 r2 r3 r4 r5 and 3 more): trained anew" in line
    (line,) = stale_lines({}, "runs", {"r": "x.py has changed"})
    assert line.endswith("(r): still counted, as asked")
