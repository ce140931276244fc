"""A dry run says what the command would do: what is done, what goes on, what is left alone, what a name has already."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import TINY
from shell import in_one_line

from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner.plan.config import compose

GRID = (*TINY, "seed=0,1,2,3,4")


def made(root: Path) -> list[str]:
    """A folder with a run that is done, one that was cut off and one that failed; the ids of all five."""
    store = RunStore(root).prepare()
    ids = [planned.run_id for planned in compose(GRID)]
    done, cut, failed = (store.run(run_id).create() for run_id in ids[:3])
    done.write_state(state="done", sealed={})
    cut.checkpoint.write_bytes(b"")
    cut.write_state(state="interrupted")
    failed.write_state(state="failed", reason="as it is")
    return ids


def test_a_dry_run_says_what_would_be_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def dry(*more: str) -> str:
        code, said = in_one_line(
            "sweep", *GRID, "--dry-run", "--runs", str(tmp_path), *more, monkeypatch=monkeypatch, capfd=capfd
        )
        assert code == 0
        return said

    ids = made(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    said = dry()
    assert "5 runs, all valid: 1 done already, 1 left alone, 3 to go; nothing was started" in said
    assert (
        f"{ids[0]} seed=0 done already {ids[1]} seed=1 goes on from its checkpoint {ids[2]} seed=2 left alone" in said
    )
    assert f"{ids[3]} seed=3 {ids[4]} seed=4" in said
    assert f"{ids[2]} failed before (as it is): --retry starts it again" in said
    assert "1 done already, 4 to go" in dry("--retry")
    said = dry("--rerun")
    assert "5 runs, all valid: 5 to go" in said
    assert "goes on" not in said, "they begin at their beginning"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_says_which_runs_a_name_has_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    RunStore(tmp_path).prepare().write_sweep("log", [SweepEntry("old"), SweepEntry("older")])
    asked = ("sweep", *TINY, "--dry-run", "--runs", str(tmp_path), "--name")
    _, said = in_one_line(*asked, "log", monkeypatch=monkeypatch, capfd=capfd)
    assert "sweep log is there with 2 other runs: they stay in it, which makes 3 runs" in said
    assert "stay in it" not in in_one_line(*asked, "new", monkeypatch=monkeypatch, capfd=capfd)[1]
    RunStore(tmp_path).declare("log", {"looks": [3]})
    code, said = in_one_line(*asked, "log", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert "sweep log is decided in looks" in said
