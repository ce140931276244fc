"""What a manifest says of the command that asked for a sweep: typed again elsewhere, it gives the same runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from runs import TINY
from shell import in_process

import batchlab
from batchlab.results.compare.load import load
from batchlab.results.report.commands import sweep_command
from batchlab.results.report.write import report_page
from batchlab.results.show.status import read_status
from batchlab.results.store.pack import pack
from batchlab.results.store.runs import UNASKED, Asked, RunStore, Sweep
from batchlab.results.store.unpacked import opened
from batchlab.runner import reproduction, typed
from batchlab.runner.before import joined
from batchlab.runner.options import Deciding, GridOptions, Search
from batchlab.runner.plan.config import compose
from batchlab.runner.sweep import freeze

Ask = Callable[[Sequence[str], str], Sweep]
KINDS = {
    "a run": ("train", *TINY, "seed=5"),
    "a grid": ("sweep", *TINY, "optimizer=shb,adamw", "seed=0,1", "--name", "mine"),
    "keys that move together": (
        *("sweep", *TINY, "optimizer.lr=0.1,0.2", "seed=0,1", "batch_schedule.size=32,64"),
        *("--zip", "optimizer.lr,seed", "--skip", "batch_schedule.size=64,seed=1"),
    ),
    "points of an interval": ("sweep", *TINY, "optimizer.lr=interval(0.01,0.1)", "--draws", "3", "--search", "random"),
    "a value that a shell reads": ("sweep", *TINY, "optimizer=adamw", "optimizer.betas=[0.9, 0.99],[0.8, 0.9]"),
    "a comparison": (
        *("compare", *TINY, "dataset.validation=0.2", "optimizer=shb,adamw", "--tune", "optimizer.lr=0.1,0.01"),
        *("--metric", "test_loss", "--max-seeds", "4", "--smallest", "5%"),
    ),
    "a paper": ("reproduce", "sgdm_schedules", "--scale", "laptop"),
    "a paper until it is decided": ("reproduce", "dasvrda", "--scale", "laptop", "--until-decided", "--max-seeds", "4"),
}
HOW = ("--timeout", "1h", "--max-runs", "1")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    """Asks for something and starts one run of it at most; its sweep, as it stands in the manifest."""
    monkeypatch.setattr(reproduction, "_conclude", lambda *_: None)

    def sweep(arguments: Sequence[str], runs: str) -> Sweep:
        how = ("executor.threads=1",) if arguments[0] == "train" else HOW
        asked = (*arguments, "--runs", str(tmp_path / runs), *how)
        code, _, err = in_process(*asked, monkeypatch=monkeypatch, capfd=capfd)
        assert code in (0, 1), err
        store = RunStore(tmp_path / runs)
        return store.sweep(store.sweeps()[-1])

    return sweep


@pytest.mark.slow
@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS.keys())
def test_the_command_in_a_manifest_gives_its_runs(arguments: tuple[str, ...], ask: Ask, tmp_path: Path) -> None:
    first = ask(arguments, "one")
    known = {run.run_id: run.config for run in load(RunStore(tmp_path / "one"), columns=()).runs}
    program, *again = shlex.split(sweep_command(first, known))
    assert (program, again[0], first.asked.kind) == ("batchlab", arguments[0], arguments[0])
    assert not {*again} & {"--runs", *HOW, "executor.threads=1", "train.device=cpu"}
    second = ask(again, "two")
    assert [entry.run_id for entry in second.entries] == [entry.run_id for entry in first.entries]
    assert second.name == first.name
    assert second.asked.command == (first.asked.command if arguments[0] != "train" else tuple(again))


def named(store: RunStore, *overrides: str) -> Sweep:
    """A sweep `s` of this store, beside what it has."""
    plans = compose([*TINY, *overrides])
    among, _ = joined(plans, store, "s", extend=True)
    asked = typed.sweep([*TINY, *overrides], None, "s")
    freeze(store, "s", plans, among, asked=replace(asked, part=len(among) > len(plans)))
    return store.sweep("s")


def test_more_seeds_have_the_last_command(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    named(store, "seed=0,1")
    sweep = named(store, "seed=0,1,2")
    assert shlex.split(sweep_command(sweep, {}))[-3:] == ["seed=0,1,2", "--name", "s"]


def test_a_command_that_gives_a_part_is_not_the_sweeps(tmp_path: Path) -> None:
    """What gives all is made of the configurations, where they are a grid."""
    store = RunStore(tmp_path).prepare()
    named(store, "seed=0,1")
    sweep = named(store, "seed=2")
    assert sweep.asked.part
    trees = {one.run_id: one.tree for one in compose([*TINY, "seed=0,1,2"])}
    command = shlex.split(sweep_command(sweep, trees))
    assert {one.run_id for one in compose(command[2:-2])} == trees.keys()
    assert sweep_command(sweep, {}) == "", "nothing is known of them"


def test_a_run_alone_is_called_a_run(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    (one,) = compose([*TINY, "seed=3"])
    for asked in (typed.train([*TINY, "seed=3"]), UNASKED):  # an earlier version wrote nothing down
        freeze(store, one.run_id, [one], asked=asked)
        run = store.run(one.run_id)
        run.write_state(state="failed", reason="on purpose")
        sweep = store.sweep(one.run_id)
        assert sweep_command(sweep, {one.run_id: one.tree}).startswith("batchlab train ")
        assert read_status(store, one.run_id).sheets()[0].title == f"run {one.run_id}: failed"
        page = report_page(store)
        assert f"Run {one.run_id}" in page
        assert not re.search(rf"sweep\s+{one.run_id}|batchlab sweep [^<]*{one.run_id}", page, re.IGNORECASE)
    freeze(store, "named", [one], asked=typed.sweep([*TINY, "seed=3"], None, "named"))
    assert read_status(store, "named").title == "sweep named", "a sweep of one run is a sweep"


def test_what_says_only_where_and_how_is_left_out() -> None:
    private = [
        "executor=slurm",
        "executor.account=mine",
        "+callback=wandb",
        "dataset.root=/home/me",
        "train.device=cpu",
    ]
    assert typed.train(["seed=1", *private]) == Asked("train", ("train", "seed=1"))
    looks = Deciding(max_seeds=5, max_minutes=3.0, smallest=["0.5", "5%"])
    grid = GridOptions(zip=["a,b"], skip=["a=1", "b=2"], draws=4, search=Search.RANDOM, search_seed=0)
    said = "--tune k@optimizer=shb=1,2 --metric test_loss --zip a,b --skip a=1 --skip b=2 --draws 4 --search random"
    more = "--search-seed 0 --max-seeds 5 --smallest 0.5 --smallest 5% --name c"
    command = typed.compare(private, ["k@optimizer=shb=1,2"], "test_loss", grid, looks, "c").command
    assert command == ("compare", *said.split(), *more.split())
    assert typed.reproduce("vrgd", "desk", None).command == ("reproduce", "vrgd", "--scale", "desk")
    assert typed.reproduce("vrgd", "desk", Deciding()).command[-1] == "--until-decided"


def test_it_travels_with_the_runs(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs").prepare()
    asked = named(store, "seed=0,1").asked
    with opened([pack(store, tmp_path / "x.tar.xz").path]) as read:
        assert read.sweep("s").asked == asked


@pytest.mark.slow
def test_a_notebooks_request_is_the_same_command(tmp_path: Path) -> None:
    batchlab.sweep([*TINY, "seed=0,1"], tmp_path, name="s", skip="seed=1")
    command = RunStore(tmp_path).sweep("s").asked.command
    assert command == ("sweep", *TINY[:-1], "seed=0,1", "--skip", "seed=1", "--name", "s")
