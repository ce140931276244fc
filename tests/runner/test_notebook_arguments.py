"""What Python gives to batchlab's functions: the usual folder; a wrong type is said with its argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import batchlab
from batchlab.results.store.record import Recorder
from batchlab.results.store.runs import RunStore
from batchlab.runner import execute
from batchlab.runner.options import OnError, SweepOptions

call: Any = batchlab  # its types forbid what is tried here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = RunStore(tmp_path / "elsewhere").prepare()
    tree: dict[str, Any]
    for name, lr in (("shb", 0.1), ("adam", 0.2), ("sgd", 0.3)):
        axes = {"optimizer": name, "lr_schedule": "c", "batch_schedule": "c", "model": "m", "dataset": "d"}
        tree = {axis: {"name": value} for axis, value in axes.items()} | {"seed": 0}
        tree["optimizer"] |= {"lr": lr}
        run = store.run(name)
        run.write_config(yaml.safe_dump(tree))
        run.write_state(state="done")
        with Recorder(run) as recorder:
            for samples in (1, 2):
                recorder.write("metrics", {"samples": samples, "steps": samples, "test_accuracy": lr * samples})
            recorder.seal(axes | {"seed": 0, "run_id": name}, tree)
    return store.root


def test_the_usual_folder_is_the_environments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("BATCHLAB_RUNS", raising=False)
    with pytest.raises(ValueError, match="no folder runs"):
        batchlab.runs()
    monkeypatch.setenv("BATCHLAB_RUNS", str(folder))
    assert set(batchlab.runs()["optimizer"]) == {"shb", "adam", "sgd"}
    assert len(batchlab.table().to_pandas()) == 3
    assert batchlab.plot().axes
    folder.rename(folder.with_name("runs"))
    monkeypatch.delenv("BATCHLAB_RUNS")
    assert set(batchlab.runs()["optimizer"]) == {"shb", "adam", "sgd"}


WRONG: list[tuple[str, Callable[[Path], Any]]] = [
    ("overrides takes a text or a list of texts, not None", lambda f: call.sweep(None, f)),
    ("overrides takes a text or a list of texts, not [1, 2]", lambda f: call.sweep([1, 2], f)),
    ("name takes one text, not 5", lambda f: call.sweep([], f, name=5)),
    ("zip takes a text or a list of texts, not [['a', 'b']]", lambda f: call.sweep([], f, zip=[["a", "b"]])),
    ("skip takes a text or a list of texts, not 1", lambda f: call.sweep([], f, skip=1)),
    ("draws takes a whole number, 1 or more, not 'two'", lambda f: call.sweep([], f, draws="two")),
    ("jobs_per_device takes a whole number, 1 or more, not 0", lambda f: call.sweep([], f, jobs_per_device=0)),
    ("on_error=panic: choose continue or stop", lambda f: call.sweep([], f, on_error="panic")),
    ("runs takes a folder, not 5", lambda f: call.runs(5)),
    ("sweep takes one text, not ['a']", lambda f: call.runs(f, sweep=["a"])),
    ("keys takes a text or a list of texts, not b'a'", lambda f: call.runs(f, keys=b"a")),
    ("sweep takes one text, not ['a']", lambda f: call.table(f, sweep=["a"])),
    ("tuned takes one text, not 1", lambda f: call.table(f, tuned=1)),
    ("metrics takes a text or a list of texts, not None", lambda f: call.table(f, metrics=None)),
    ("metric takes one text, not ['a']", lambda f: call.plot(f, metric=["a"])),
    ("panel takes one text, not 1", lambda f: call.plot(f, panel=1)),
]


@pytest.mark.parametrize(("says", "asked"), WRONG, ids=[says for says, _ in WRONG])
def test_a_wrong_argument_is_named_in_one_line(folder: Path, says: str, asked: Callable[[Path], Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        asked(folder)
    assert str(caught.value) == says


def test_a_plot_takes_alternatives(folder: Path) -> None:
    figure = batchlab.plot(folder, where="optimizer=shb", others="optimizer=adam")
    assert len(figure.legends[0].get_texts()) == 2


def test_a_sweep_takes_what_the_command_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[SweepOptions] = []

    def executed(plans: Any, runs: Path, options: SweepOptions, name: str, **_: Any) -> int:
        taken.append(options)
        return 130

    monkeypatch.setattr(execute, "execute", executed)
    with pytest.raises(KeyboardInterrupt):
        batchlab.sweep("model=mlp dataset=digits", tmp_path, on_error="stop", jobs_per_device=2)
    assert (taken[0].on_error, taken[0].jobs_per_device) == (OnError.STOP, 2)
    policies = {"timeout": "30m", "max_runs": 3, "retries": 2, "stop_after": "10%", "retry_oom": True}
    with pytest.raises(KeyboardInterrupt):
        batchlab.sweep("model=mlp dataset=digits", tmp_path, **policies)  # type: ignore[arg-type]
    assert {key: getattr(taken[1], key) for key in policies} == policies
    with pytest.raises(ValueError, match="--timeout soon: give a length of time"):
        batchlab.sweep("model=mlp dataset=digits", tmp_path, timeout="soon")
