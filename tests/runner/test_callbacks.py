"""Callbacks are told of a run, in order, and change nothing of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from runs import TINY, context, frozen, one, refused, rows, solve, trained

from batchlab.results.store.record import read_stream
from batchlab.runner.plan.fingerprint import Fingerprints
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

OWN = """
import random
import numpy, torch
from batchlab.runner.callbacks import Callback

told = []

class Note(Callback):
    def __init__(self, key=1):
        self.key = key
    def on_start(self, run):
        told.append(("start", [row["steps"] for row in run.rows], run))
    def on_step(self, row):
        told.append(("step", dict(row)))
    def on_evaluate(self, row):
        told.append(("evaluate", dict(row)))
    def on_end(self, state, reason):
        told.append(("end", state, reason))

class Mess:  # no base
    def on_start(self, run):
        self.model = run.model
    def on_step(self, row):
        row["train_loss"] = -1.0
        self.mess()
    def on_evaluate(self, row):
        row.clear()
        self.mess()
    def mess(self):
        torch.rand(3), numpy.random.rand(), random.random()
        self.model.eval()
        next(self.model.parameters()).sum().backward()

class Changes:
    def on_start(self, run):
        self.model = run.model
    def on_step(self, row):
        with torch.no_grad():
            next(self.model.parameters()).add_(1.0)

class ChangesData(Changes):
    def on_step(self, row):
        next(self.model.parameters()).data.mul_(0.9)

class Freezes(Changes):
    def on_start(self, run):
        next(run.model.parameters()).requires_grad_(False)

class Replaces(Changes):
    def on_evaluate(self, row):
        self.model.add_module("more", torch.nn.Linear(2, 2))

class Exits:
    def on_step(self, row):
        raise SystemExit(0)

class Fails(Note):
    def on_evaluate(self, row):
        if row["steps"]:
            {}["nothing"]

class Misnamed:
    def on_epoch_end(self):
        pass

class Silent:
    pass
"""


@pytest.fixture(autouse=True)
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_callbacks.py").write_text(OWN)
    (tmp_path / "conf/callback").mkdir(parents=True)
    for name in re.findall(r"class (\w+)", OWN):
        text = f"name: {name.lower()}\n_target_: own_callbacks.{name}\n" + ("key: 1\n" if name == "Note" else "")
        (tmp_path / f"conf/callback/{name.lower()}.yaml").write_text(text)
    monkeypatch.delitem(sys.modules, "own_callbacks", raising=False)
    import own_callbacks  # type: ignore[import-not-found]

    return own_callbacks.told  # type: ignore[no-any-return]


SETUP = ("log.evaluate_every=0.5", "log.steps=true", "train.epochs=2")


def of(told: list[Any], kind: str) -> list[Any]:
    return [seen for seen in told if seen[0] == kind]


def test_they_are_told_what_is_written_in_its_order(told: list[Any]) -> None:
    run, config = frozen(Path("runs"), *SETUP, "callback=note", "callback.note.key=3")
    assert trained(run, config) == "done"
    assert [kind for kind, *_ in told[:2]] == ["start", "evaluate"]
    start = told[0][2]
    assert (start.run_id, start.folder, start.rows) == (run.run_id, run.folder, [])
    assert start.config == yaml.safe_load(run.config.read_text())
    assert isinstance(start.model, torch.nn.Module)
    assert [seen[1] for seen in of(told, "evaluate")] == [
        {key: value for key, value in row.items() if value is not None and key in told[-2][1]}
        for row in rows(run, times=True)
    ]
    steps = pq.read_table(run.steps).to_pylist()
    assert [seen[1]["steps"] for seen in of(told, "step")] == [*range(1, steps[-1]["steps"] + 1)]
    assert all(
        one[1].items() <= row.items() for one, row in zip([t for t in told if t[0] == "step"], steps, strict=True)
    )
    order = [(one[1]["samples"], one[0] == "evaluate") for one in told[1:-1]]
    assert order == sorted(order)
    assert told[-1] == ("end", "done", None)


def test_steps_are_told_and_not_written_where_nobody_asked_for_rows(told: list[Any]) -> None:
    run, config = frozen(Path("runs"), "callback=note")
    trained(run, config)
    assert len(of(told, "step")) > 3
    assert not run.steps.exists()


@pytest.mark.parametrize("model", [("model=mlp",), ("model=resnet8", "train.samples=200", "batch_schedule.size=50")])
def test_a_run_is_the_same_run_with_one_that_makes_a_mess(model: tuple[str, ...]) -> None:
    seen = []
    for root, more in (("a", ()), ("b", ("+callback=[mess,note]",))):
        run, config = frozen(Path(root), *model, *more)
        assert trained(run, config) == "done"
        seen.append((run.run_id, rows(run)))
    assert seen[0] == seen[1]


def test_a_run_that_goes_on_is_told_of_the_rows_that_stay(told: list[Any]) -> None:
    run, config = frozen(Path("runs"), *SETUP, "callback=note")
    assert trained(run, config, stop_after=9) == "interrupted"
    assert told[-1] == ("end", "interrupted", None)
    kept = [row["steps"] for row in read_stream(run, "metrics")]
    assert kept
    told.clear()
    assert trained(run, config) == "done"
    assert told[0][:2] == ("start", kept)
    later = [seen[1]["steps"] for seen in of(told, "evaluate")]
    assert [*kept, *later] == [row["steps"] for row in rows(run)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("changes", r"on_step changed the parameter \S+weight, and a callback only watches"),
        ("changesdata", r"on_step changed the parameter \S+weight, and a callback only watches"),
        ("freezes", r"on_start changed the parameter \S+weight, and a callback only watches"),
        ("replaces", r"on_evaluate changed the parameter more\.weight, and a callback only watches"),
        ("exits", "on_step: SystemExit: 0"),
    ],
)
def test_who_changes_a_parameter_or_leaves_is_refused(name: str, says: str) -> None:
    run, config = frozen(Path("runs"), f"callback={name}")
    with pytest.raises(ConfigError, match=f"callback={name}: {says}"):
        trained(run, config)


def test_a_run_that_diverges_has_callbacks_that_changed_nothing(told: list[Any]) -> None:
    run, config = frozen(Path("runs"), "callback=note", "optimizer.lr=1e30", "train.epochs=2")
    assert trained(run, config) == "diverged"
    assert told[-1][:2] == ("end", "diverged")


def test_an_error_names_the_callback_and_all_are_told_the_end(told: list[Any]) -> None:
    run, config = frozen(Path("runs"), "callback=[note,fails]")
    with pytest.raises(ConfigError, match="callback=fails: on_evaluate: KeyError: 'nothing'"):
        trained(run, config)
    assert [seen[:2] for seen in of(told, "end")] == [("end", "failed")] * 2


def test_a_solver_has_callbacks_too(told: list[Any]) -> None:
    run, config = frozen(
        Path("runs"), "optimizer=svrg", "dataset=breast_cancer", "model=logistic", "train.epochs=4", "callback=note"
    )

    assert solve(config, context(run)).state == "done"
    assert [one[0] for one in told] == ["start", *["evaluate"] * len(rows(run)), "end"]
    assert told[0][2].model is None


def test_they_are_chosen_as_measures_are() -> None:
    def names(*overrides: str) -> list[str]:
        return [*one(*overrides).tree["callback"]]

    assert names() == []
    assert names("+callback=note") == ["note"]
    assert names("callback=[note,tensorboard]") == ["note", "tensorboard"]
    assert names("callback=[note,mess]", "~callback=note") == ["mess"]
    assert one("+callback=note").run_id == one().run_id
    said = refused(*TINY, "+callback=note,mess")
    assert said == "callback: callbacks are no part of a run, and cannot be swept over: give callback=[note,mess]"
    assert "+callback=note adds it" in refused(*TINY, "callback.note.key=2")
    assert "callback has no choice 'tensorbord'; did you mean tensorboard?" in refused(*TINY, "+callback=tensorbord")
    assert "did you mean +callback=...?" in refused(*TINY, "+callbacks=tensorboard")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("misnamed", "callback=misnamed: on_epoch_end is never called: a callback has on_start, on_step, on_evaluate"),
        ("silent", "callback=silent: it has no method to call: a callback has on_start"),
    ],
)
def test_what_would_never_be_called_is_refused_before_anything_starts(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        validate([one(f"+callback={name}")])
    with pytest.raises(ConfigError, match=r"own_callbacks\.Note takes no such argument"):
        validate([one("+callback=note", "+callback.note.other=1")])


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_a_package_that_is_not_there_is_said(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchlab.runner.callbacks import callback

    monkeypatch.setattr(callback, "find_spec", lambda asked: None if asked == package else object())
    with pytest.raises(
        ConfigError, match=rf"callback={name}: the package {package} is not installed: pip install 'batchl"
    ):
        validate([one(f"+callback={name}")])


def test_other_code_of_a_callback_makes_no_run_stale() -> None:
    planned = one("+callback=note")
    assert not [part for part in Fingerprints().of(planned.tree) if "own_callbacks" in part]
