"""Folders of runs with names that mean something elsewhere: to Arrow, to rich, to a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import TINY, Fleet, one
from shell import batchlab, only_state

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

NAMES = [
    *("lr:0.1", "file:a", "./ablation:norm/one", "s3://bucket/a", "~mine", "~", "50%", "a?b#c", "with space/"),
    *("größe", "[bold]", "[/a]", "x:key:y", "{a}", "a'b", "n" * 200 + "/" + "m" * 200),
]
READERS = [*(("table", "--format", form) for form in ("rich", "csv")), ("status",), ("plot",), ("report",)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12])
def test_runs_are_kept_and_read_in_any_folder(name: str, tmp_path: Path) -> None:
    done = batchlab("train", *TINY, f"--runs={name}", cwd=tmp_path)
    state = only_state(tmp_path / name)
    assert (done.returncode, state.state) == (0, State.DONE), state
    assert f"{Path(name)}/" in done.stdout.decode(), "shown as it is"
    assert list((tmp_path / name).glob("*/metrics.parquet"))
    for arguments in READERS:
        assert batchlab(*arguments, f"--runs={name}", cwd=tmp_path).returncode == 0, arguments


@pytest.mark.slow
def test_one_of_each_kind(tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, as a user types it: what Arrow takes for a URI has no slash before its colon."""
    monkeypatch.chdir(tmp_path)
    done = batchlab("train", *TINY, "--runs=lr:0.1/~x/[a]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"done: lr:0.1/~x/[a]/" in done.stdout
    said = batchlab("table", "--runs=lr:0.1/~x/[a]", "--format=csv", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count(b"\n") == 2


def test_a_link_to_a_folder(tmp_path: Path, fleet: Fleet) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to("disk")
    fleet.train(tmp_path / "runs", one())
    assert len(list(RunStore(tmp_path / "disk").runs())) == 1


@pytest.mark.slow
def test_the_home_folder_in_the_environment(tmp_path: Path, fleet: Fleet) -> None:
    """No shell has seen a file of variables: `~` means home there. In --runs the shell replaces it."""
    home = tmp_path / "home"
    fleet.train(home / "x", one())
    found = batchlab("status", cwd=tmp_path, HOME=str(home), BATCHLAB_RUNS="~/x")
    assert found.returncode == 0
    assert b"done" in found.stdout
    literal = batchlab("status", "--runs=~/x", cwd=tmp_path, HOME=str(home))
    assert b"done" not in literal.stdout
    nobody = batchlab("status", cwd=tmp_path, BATCHLAB_RUNS="~nobody-of-that-name/x")
    assert nobody.returncode == 2
    assert b"BATCHLAB_RUNS=~nobody-of-that-name/x" in nobody.stderr
    assert nobody.stderr.count(b"\n") == 1
