"""What a command does per run of a large store, counted: never by the clock."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import TINY
from shell import in_process

from batchlab.results.compare import apart, frame
from batchlab.results.compare import reading as loading
from batchlab.results.report import sections
from batchlab.results.report.write import write_report
from batchlab.results.store import index, parquet
from batchlab.results.store.fingerprint import KEY, as_json
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan import config, validate
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.fingerprint import Fingerprints
from batchlab.runner.plan.identity import Identities, run_id
from batchlab.runner.plan.schema import ConfigError, axes_of
from batchlab.runner.sweep import freeze

GRID = (*TINY, "optimizer=shb,adamw", "optimizer.lr=0.1,0.2,0.3", "seed=range(0,8)")
RUNS, METHODS = 48, 6


def counted(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, of: Callable[..., Any] = lambda *_: "") -> Counter:
    """How often a function is called, by what `of` makes of its arguments."""
    calls: Counter[Any] = Counter()
    before = getattr(where, name)

    def counting(*arguments: Any, **more: Any) -> Any:
        calls[of(*arguments)] += 1
        return before(*arguments, **more)

    monkeypatch.setattr(where, name, counting)
    return calls


def done(root: Path, plans: list[Planned]) -> RunStore:
    """A store in which these runs are done."""
    store = RunStore(root).prepare()
    freeze(store, "many", plans)
    made_of = Fingerprints()
    for i, planned in enumerate(plans):
        run = store.run(planned.run_id)
        run.write_state(state="running", **{KEY: as_json(made_of.of(planned.tree))})
        with Recorder(run) as recorder:
            for k in (1, 2):
                recorder.write(
                    "metrics", {"samples": 64 * k, "train_seconds": 0.1 * k, "test_accuracy": 0.5 + 0.001 * i}
                )
            recorder.seal(axes_of(planned.tree) | {"run_id": run.run_id}, planned.tree)
        run.write_state(state="done")
    return store


def test_a_grid_is_composed_and_checked_by_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as there are choices of groups and values of a block, however many runs that makes."""
    composed, checked = counted(monkeypatch, config, "_with_values"), counted(monkeypatch, validate, "_validate")
    plans = compose(GRID)
    validate.validate(plans)
    assert (len(plans), composed[""], checked[""]) == (RUNS, METHODS, METHODS)
    many = compose([*GRID[:-1], "seed=range(0,80)", "nproc=1,2"])
    assert len(many) == 20 * RUNS
    assert composed[""] <= METHODS + 2 * METHODS


def test_a_seed_that_is_none_is_refused_among_thousands() -> None:
    with pytest.raises(ConfigError, match="seed=-1"):
        validate.validate(compose([*GRID[:-1], "seed=0,1,-1"]))


def test_a_sweep_with_nothing_to_do_reads_each_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done(tmp_path / "runs", compose(GRID))
    monkeypatch.chdir(tmp_path)
    read = counted(monkeypatch, Run, "read_state", lambda run: run.run_id)
    written = counted(monkeypatch, Run, "write_config")
    compared = counted(monkeypatch, Fingerprints, "of")
    code, out, _ = in_process("sweep", *GRID, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, f"{RUNS} done already, 0 to go" in out) == (0, True), out
    assert (len(read), set(read.values()), sum(written.values())) == (RUNS, {1}, 0)
    assert sum(compared.values()) == RUNS, "what it is made of now"


def test_a_manifest_has_a_line_for_each_run(tmp_path: Path) -> None:
    store = done(tmp_path / "runs", compose(GRID))
    text = (store.root / ".sweeps" / "many.json").read_text()
    assert sum('"run_id"' in line and '"overrides"' in line for line in text.splitlines()) == RUNS
    assert [entry.run_id for entry in store.sweep("many").entries] == [planned.run_id for planned in compose(GRID)]


def test_values_that_are_equal_for_python_keep_identities_of_their_own() -> None:
    trees = [{"seed": seed, "nproc": 1} for seed in (1, True, 1.0, 1.5, "1", None, 0, False, -0.0, 0.0)]
    together = Identities()
    assert [together.of(tree) for tree in trees] == [run_id(tree) for tree in trees]
    assert len({run_id(tree) for tree in trees}) == 7


def test_a_report_reads_each_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The rows of all runs and what they are made of once, and no YAML, of which Parquet has a copy."""
    done(tmp_path / "runs", compose(GRID))
    monkeypatch.chdir(tmp_path)
    opened = counted(monkeypatch, parquet, "opened", lambda path: path)
    parsed = counted(monkeypatch, loading, "read_yaml")
    code, _, err = in_process("report", "-o", "report.html", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, len(opened), set(opened.values()), sum(parsed.values())) == (0, RUNS, {1}, 0), err
    assert "adamw" in (tmp_path / "report.html").read_text()


def test_a_dry_run_with_nothing_to_do_waits_for_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Runs that are over were checked before they began; where one is left all are checked, as a sweep does."""
    plans = compose(GRID)
    store = done(tmp_path / "runs", plans)
    monkeypatch.chdir(tmp_path)
    checked = counted(monkeypatch, validate, "validate")
    dry = ("sweep", *GRID, "--dry-run")
    code, out, _ = in_process(*dry, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, sum(checked.values())) == (0, 0)
    assert out.endswith(f"{RUNS} runs: {RUNS} done already, 0 to go; nothing was started\n")
    store.run(plans[0].run_id).write_state(state="interrupted")
    code, out, _ = in_process(*dry, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, sum(checked.values())) == (0, 1)
    assert f"{RUNS} runs, all valid: {RUNS - 1} done already, 1 to go" in out


def test_a_report_sums_up_what_did_not_end_well_where_that_is_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = done(tmp_path / "runs", compose(GRID))
    for i, run in enumerate(store.runs()):
        state, reason = ("diverged", f"train_loss is nan at {64 * i} samples") if i % 3 else ("failed", "out of memory")
        run.write_state(state=state, reason=reason)
    page = write_report(store, tmp_path / "report.html").read_text()
    assert page.count("is nan at") == RUNS * 2 // 3, "a line each"
    monkeypatch.setattr(sections, "LISTED", 20)
    page = write_report(store, tmp_path / "report.html").read_text()
    assert f"{RUNS} runs that are not done, by how they ended" in page
    assert "train_loss is nan at N samples" in page
    assert "<code>batchlab status</code> has a line for each" in page
    assert page.count("is nan at") == 1


def test_a_list_of_runs_looks_at_what_is_recorded_once_for_each_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Blocks that runs have in common are flattened once, and a key is looked at once, however many runs have it."""
    done(tmp_path / "runs", compose(GRID))
    monkeypatch.chdir(tmp_path)
    flattened = counted(monkeypatch, frame, "flatten")
    records = counted(monkeypatch, apart, "within")
    monkeypatch.setattr(index, "ENOUGH", 2)
    monkeypatch.setattr(index, "SETTLED", -60.0)
    apart._records.cache_clear()
    code, out, _ = in_process("runs", "list", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out.count("done")) == (0, RUNS)
    tree = compose(GRID)[0].tree
    blocks = sum(isinstance(block, dict) for block in tree.values())
    nodes = flattened[""]
    assert 0 < nodes < 6 * blocks * METHODS < RUNS * blocks
    assert 0 < records[""] < 100, "as many as there are keys"


def test_what_trains_does_not_bring_torch_along_before_something_is_trained() -> None:
    """A sweep with nothing to do would hold 490 MB for it."""
    program = "import sys, batchlab.runner.training, batchlab.runner.commands; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
