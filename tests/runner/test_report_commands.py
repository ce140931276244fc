"""The commands that a report's buttons copy give the runs that they stand beside."""

from __future__ import annotations

import re
import shlex

import pytest

from batchlab.results.report.commands import PACKAGED, run_command, run_overrides, sweep_command, written
from batchlab.results.store.runs import Sweep
from batchlab.runner.plan.conf.files import axes
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.sweep import _entries

ODD = (
    (),
    ("optimizer=adamw", "optimizer.betas=[0.8,0.99]", "optimizer.lr=3e-05", "seed=7"),
    ("model=mlp", "model.hidden=[16]", "dataset.validation=0.2", "dataset.subset=100", "measure=[scores,gsnr]"),
    ("experiment=vrgd_toy", "optimizer=vr_sgd", "optimizer.upper=inverse"),
    ("train.samples=1000", "train.loss={_target_:torch.nn.MSELoss}", "executor.threads=1", "train.device=cpu"),
    ("~optimizer.fused", "+model.note='it\\'s, a \\\\ $HOME \"b\"'", "+model.other='null'", "+model.end='a\\\\'"),
    ("batch_schedule=norm_test", "lr_schedule=cosine", "lr_schedule.minimum=0.01", "measure=[]"),
    ("model.width=${classes}",),
)


def again(command: str) -> list[Planned]:
    """The runs that a shell's user gets by a command."""
    program, verb, *rest = shlex.split(command)
    assert program == "batchlab"
    assert verb in ("train", "sweep")
    if "--name" in rest:
        rest = rest[: rest.index("--name")]
    return compose(rest)


@pytest.mark.parametrize("overrides", ODD, ids=" ".join)
def test_a_runs_command_gives_the_run(overrides: tuple[str, ...]) -> None:
    (run,) = compose(overrides)
    (made,) = again(run_command(run.tree))
    assert made.run_id == run.run_id
    assert len(run_overrides(run.tree)) <= 16, "what the files say is not said again"


@pytest.mark.slow
def test_every_choice_has_a_command_that_gives_it() -> None:
    for axis, names in axes().items():
        if axis in ("executor", "callback"):
            continue
        for name in names:
            asked = re.findall(r"^(\w+): \?\?\?", (PACKAGED / axis / f"{name}.yaml").read_text(), re.MULTILINE)
            more = [f"{axis}.{key}=a:b" for key in asked]
            (run,) = compose([f"{axis}=[{name}]" if axis == "measure" else f"{axis}={name}", *more])
            (made,) = again(run_command(run.tree))
            assert made.run_id == run.run_id, (axis, name)


def test_a_choice_of_the_users_own_is_named_with_all_its_values(tmp_path, monkeypatch) -> None:
    own = tmp_path / "conf" / "optimizer"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("name: mine\n_target_: torch.optim.SGD\nlr: 0.1\nmomentum: 0.9\n")
    monkeypatch.chdir(tmp_path)
    (run,) = compose(["optimizer=mine", "optimizer.lr=0.3"])
    assert run_overrides(run.tree) == ["optimizer=mine", "optimizer.lr=0.3", "optimizer.momentum=0.9"]
    (made,) = again(run_command(run.tree))
    assert made.run_id == run.run_id


GRIDS = (
    ("optimizer=adamw,shb", "optimizer.lr=0.01,0.1", "seed=0,1", "model=mlp", "train.epochs=3"),
    ("model.width=8,16", "seed=range(0,3)", "optimizer.weight_decay=0.001"),
)


@pytest.mark.parametrize("overrides", GRIDS, ids=" ".join)
def test_a_sweeps_command_gives_its_runs(overrides: tuple[str, ...]) -> None:
    plans = compose(overrides)
    sweep = Sweep("mine", _entries(plans))
    command = sweep_command(sweep, {run.run_id: run.tree for run in plans})
    assert {run.run_id for run in again(command)} == {run.run_id for run in plans}
    assert command.endswith("--name mine")


def test_no_command_is_made_up_of_a_sweep_that_is_no_grid() -> None:
    plans = compose(GRIDS[0])
    trees = {run.run_id: run.tree for run in plans}
    assert sweep_command(Sweep("mine", _entries(plans[:-1])), trees) == "", "one run of the grid is not there"
    assert sweep_command(Sweep("mine", _entries(plans)), {}) == "", "nothing is known of its runs"
    mixed = [*compose(["seed=0"]), *compose(["seed=1", "optimizer.lr=0.3"])]
    entries = [entry for run in mixed for entry in _entries([Planned(run.run_id, run.tree, run.overrides[:1])])]
    assert sweep_command(Sweep("mine", entries), {run.run_id: run.tree for run in mixed}) == "", "rates differ too"


def test_a_papers_sweep_is_its_reproduction() -> None:
    assert sweep_command(Sweep("vrgd-desk", []), {}) == "batchlab reproduce vrgd --scale desk"


def test_values_are_written_as_they_are_read() -> None:
    for value in (None, True, 3, 1e-05, "a b", "it's", "null", "1", "", "a\\", "x\\'y", "[1]", "${classes}", [1, "2"]):
        (run,) = compose([f"+model.note={written(value)}"])
        read = run.tree["model"]["note"]
        assert (type(read), read) == (type(value), value)
