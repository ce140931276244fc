"""One name, two grids: a sweep grows and says so; the name of a comparison or a paper is not taken; all is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import TINY
from typer.testing import CliRunner

from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner import cli, commands
from batchlab.runner.before import joined
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.scheduler import Report
from batchlab.runner.training import Training


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written of a sweep is written before its first run starts."""
    monkeypatch.setattr("batchlab.runner.training.run_sweep", lambda *_, **__: Report())
    monkeypatch.setattr(Training, "ready", lambda *_: None)


def sweep(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["sweep", *TINY, *arguments, "--runs", str(root)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return " ".join(done.stdout.split())


def ids(*overrides: str) -> list[str]:
    return [planned.run_id for planned in compose([*TINY, *overrides])]


def members(root: Path, name: str) -> list[str]:
    return [entry.run_id for entry in RunStore(root).sweep(name).entries]


def test_the_same_name_and_other_runs_is_a_union_that_says_so(tmp_path: Path) -> None:
    assert "stay in it" not in sweep(tmp_path, "optimizer=sgd", "--name", "final")
    said = sweep(tmp_path, "optimizer=shb,sgd", "seed=0,1", "--name", "final")
    assert "stay in it" not in said, "all that it had is asked for again"
    said = sweep(tmp_path, "optimizer=adam", "--name", "final")
    assert "sweep final is there with 4 other runs: they stay in it, which makes 5 runs" in said
    both = [*ids("optimizer=sgd"), *ids("optimizer=shb,sgd", "seed=0,1"), *ids("optimizer=adam")]
    assert members(tmp_path, "final") == [*dict.fromkeys(both)], "in the order in which they came"


def test_without_a_name_the_same_request_is_the_same_sweep(tmp_path: Path) -> None:
    first, second = sweep(tmp_path, "optimizer=sgd"), sweep(tmp_path, "optimizer=shb")
    assert "stay in it" not in first + second
    assert [len(members(tmp_path, name)) for name in RunStore(tmp_path).sweeps()] == [1, 1]


def test_a_damaged_sweep_is_written_again(tmp_path: Path) -> None:
    sweep(tmp_path, "optimizer=sgd", "--name", "final")
    (tmp_path / ".sweeps" / "final.json").write_text("{")
    sweep(tmp_path, "optimizer=shb", "--name", "final")
    assert members(tmp_path, "final") == ids("optimizer=shb")


def test_a_paper_declares_its_sweep_anew_and_says_what_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunStore(tmp_path).prepare().write_sweep("paper", [SweepEntry("old"), SweepEntry("older")])
    plans = compose([*TINY])
    commands.execute(plans, tmp_path, SweepOptions(), "paper")
    assert "sweep paper is declared anew: 2 runs of before are not part of it" in " ".join(
        capsys.readouterr().out.split()
    )
    assert members(tmp_path, "paper") == [plans[0].run_id]


def test_what_is_decided_in_looks_takes_no_other_runs_and_loses_none(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    first, *others = compose([*TINY, "seed=0,1,2"])
    store.write_sweep("looks", [SweepEntry(p.run_id) for p in (first, *others)])
    store.declare("looks", {"looks": [3]})
    sweep(tmp_path, "seed=0", "--name", "looks")
    assert members(tmp_path, "looks") == [p.run_id for p in (first, *others)]
    with pytest.raises(ConfigError, match="looks is decided in looks"):
        sweep(tmp_path, "seed=7", "--name", "looks")
    assert len(members(tmp_path, "looks")) == 3


def test_a_comparison_does_not_take_a_sweeps_name(tmp_path: Path) -> None:
    sweep(tmp_path, "optimizer=sgd", "--name", "final")
    arguments = ["compare", *TINY, "optimizer=sgd,shb", "--name", "final", "--runs", str(tmp_path), "--dry-run"]
    done = CliRunner().invoke(cli.app, arguments)
    assert "there is a sweep final, which is no comparison" in str(done.exception)
    assert members(tmp_path, "final") == ids("optimizer=sgd")


def test_labels_of_now_count(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    store.write_sweep("s", [SweepEntry("abc", {"case": "old"}), SweepEntry("other", {"case": "kept"})])
    kept, _ = joined([Planned("abc", {}, (), {"case": "new"})], store, "s", extend=True)
    assert [(p.run_id, p.labels["case"]) for p in kept] == [("abc", "new"), ("other", "kept")]


def test_a_sweep_that_grew_tells_its_runs_apart_over_the_whole(tmp_path: Path) -> None:
    """Within each request only the seeds differ; between them the optimizer, and a rate that one of them gave."""

    def told() -> list[str]:
        return [" ".join(entry.overrides) for entry in RunStore(tmp_path).sweep("race").entries]

    sweep(tmp_path, "optimizer=sgd", "seed=20,21", "--name", "race")
    assert told() == ["seed=20", "seed=21"]
    sweep(tmp_path, "optimizer=lion", "seed=30,31", "--name", "race")
    runs = ["optimizer=sgd seed=20", "optimizer=sgd seed=21", "optimizer=lion seed=30", "optimizer=lion seed=31"]
    assert told() == runs
    sweep(tmp_path, "optimizer=sgd", "seed=20,21", "optimizer.lr=0.5", "--name", "race")
    no = "optimizer=sgd optimizer.lr=0.1 seed="
    yes = "optimizer=sgd optimizer.lr=0.5 seed="
    assert sorted(told()[:2] + told()[4:]) == [f"{no}20", f"{no}21", f"{yes}20", f"{yes}21"]
    assert ids("optimizer=sgd", "seed=20,21") == members(tmp_path, "race")[:2]
