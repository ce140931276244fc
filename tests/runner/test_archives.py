"""Archives at the command line: packed, merged, read, and never trained again. docs/archives.md runs as it stands."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import DOCS, bash, blocks
from runs import Fleet, Watcher, frozen, one, rows, trained
from shell import in_process

from batchlab.results.papers import recorded
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.store.merge import merge
from batchlab.results.store.pack import pack
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.store.unpacked import unpacked
from batchlab.runner.archives import print_reproduction
from batchlab.runner.options import Printing
from batchlab.runner.plan.identity import run_id

PAGE = (DOCS / "archives.md").read_text()


class Here:
    """The command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.with_these = {"monkeypatch": monkeypatch, "capfd": capfd}

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        return in_process(*map(str, arguments), **self.with_these)  # type: ignore[arg-type]

    def says(self, *arguments: object, code: int = 0) -> str:
        found, out, err = self(*arguments)
        assert found == code, out + err
        return out

    def refuses(self, *arguments: object) -> str:
        code, out, err = self(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), out + err
        return err


@pytest.fixture
def batchlab(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capfd)


def kept(root: Path, *overrides: str, sweep: str = "momentum") -> Run:
    """A run that is trained here, in a sweep."""
    run, config = frozen(root, *overrides)
    assert trained(run, config) == "done"
    store = RunStore(root)
    before = store.sweep(sweep).entries if sweep in store.sweeps() else []
    store.write_sweep(sweep, [*before, SweepEntry(run.run_id, {}, [*overrides])])
    return run


def paper(root: Path) -> RunStore:
    """The rows of a small reproduction of sgdm_schedules, with tuning and a plan."""
    store, entries = RunStore(root).prepare(), []
    for case, level in (("i", 1.0), ("ii", 0.3)):
        for seed in (0, 1, 2, 101):
            axes = {"optimizer": "shb", "lr_schedule": "cosine", "batch_schedule": case, "model": "m", "dataset": "d"}
            config = {axis: {"name": name} for axis, name in axes.items()} | {"seed": seed}
            config["optimizer"] = {"name": "shb", "lr": 0.1}
            run = store.run(run_id(config))
            run.write_config(yaml.safe_dump(config))
            with Recorder(run) as recorder:
                for e in range(5):
                    norm = level * math.exp(-0.5 * e + 0.01 * seed * e)
                    clocks = {
                        "samples": 9 * e,
                        "steps": e,
                        "epoch": float(e),
                        "gradients": 9 * e,
                        "train_seconds": e / 9,
                    }
                    recorder.write("metrics", clocks | {"full_gradient_norm": norm, "test_accuracy": 1 - norm / 2})
                recorder.seal(axes | {"seed": seed, "run_id": run.run_id}, config)
            run.write_state(state="done")
            labels = {"case": case, "schedule": "cosine"} | ({"tuning": True} if seed == 101 else {})
            entries.append(SweepEntry(run.run_id, labels))
    store.write_sweep("sgdm_schedules-desk", entries)
    plan = {"declared": "today", "looks": [2, 3], "seeds": [0, 1, 2], "smallest": [], "seen": 0}
    store.declare("sgdm_schedules-desk", plan | {"alpha": 0.05, "spending": "power", "exponent": 2.0})
    return store


def test_there_and_back_again(batchlab: Here, tmp_path: Path) -> None:
    there, here, archive = tmp_path / "there", tmp_path / "here", tmp_path / "x.tar.xz"
    seeds = [kept(there, f"seed={seed}") for seed in (0, 1)]
    said = batchlab.says("runs", "pack", archive, "--sweep", "momentum", "--runs", there)
    assert said.startswith(f"{archive}: 2 runs (2 done), ")
    table = ("table", "--rows", "seed", "--sweep", "momentum")
    assert batchlab.says(*table, "--from", archive) == batchlab.says(*table, "--runs", there)
    assert batchlab.says(*table[:3], "--from", archive) == batchlab.says(*table, "--runs", there), (
        "the only sweep of it"
    )
    said = batchlab.says("runs", "merge", archive, "--runs", here)
    assert said == f"{here}: 2 new runs and 0 there already\nsweep momentum: 2 runs\n"
    assert batchlab.says("runs", "merge", archive, "--runs", here) == f"{here}: 0 new runs and 2 there already\n"
    assert [rows(RunStore(here).run(run.run_id), times=True) for run in seeds] == [rows(r, times=True) for r in seeds]
    same = [text for text in one("seed=0").overrides if not text.startswith("seed=")]
    said = batchlab.says("sweep", *same, "seed=0,1,2", "--runs", here, "--dry-run")
    assert "3 runs, all valid: 2 done already, 1 to go" in said


def test_what_is_not_packed_or_merged_is_said(batchlab: Here, tmp_path: Path) -> None:
    there, here, archive = tmp_path / "there", tmp_path / "here", tmp_path / "x.tar.xz"
    kept(there, "seed=0")
    damaged, begun = kept(there, "seed=1"), frozen(there, "seed=2")[0]
    damaged.metrics.write_bytes(b"PAR1")
    begun.write_state(state="interrupted")
    training = frozen(there, "seed=3")[0]
    training.write_state(state="running")
    frozen(there, "seed=4")
    RunStore(there).write_sweep("more", [SweepEntry("0123456789ab")])
    with training.hold():
        said = batchlab.says("runs", "pack", archive, "--runs", there, code=1)
    assert said.splitlines()[0].startswith(f"{archive}: 2 runs (1 done and 1 interrupted), ")
    assert "1 run is not over: in it as they are" in said
    assert f"1 run is being trained and not in it ({training.run_id})" in said
    assert "2 runs have not begun: a sweep trains what is left" in said
    assert f"not in it: {damaged.metrics} is damaged" in said
    said = batchlab.says("runs", "merge", archive, "--runs", here)
    assert "1 run is not over and left out" in said
    (merged,) = RunStore(here).runs()
    merged.metrics.unlink()
    merged.state_file.unlink()
    merged.write_state(state="interrupted")
    assert "1 earlier run gave way, kept aside" in batchlab.says("runs", "merge", archive, "--runs", here)
    assert "took its place" in batchlab.says("runs", "list", "--stale", "--runs", here)


def test_status_of_archives(batchlab: Here, tmp_path: Path) -> None:
    """What their folder says, less what would go on there."""
    there, archive = tmp_path / "there", tmp_path / "x.tar.xz"
    kept(there, "seed=0")
    frozen(there, "seed=2")[0].write_state(state="interrupted")
    batchlab.says("runs", "pack", archive, "--runs", there)
    said = batchlab.says("status", "--from", archive)
    assert "2 runs: 1 done and 1 interrupted" in said
    assert "1 run left: where they are merged (`batchlab runs merge`) the same sweep command trains them" in said
    assert "goes on where they stopped" in batchlab.says("status", "--runs", there)
    assert "sweep momentum: 1 run: 1 done" in batchlab.says("status", "momentum", "--from", archive)
    assert "the runs' own time" in batchlab.says("status", "--time", "--from", archive)
    assert "no sweep named x" in batchlab.refuses("status", "x", "--from", archive)
    assert "leave one of them out" in batchlab.refuses("status", "--from", archive, "--runs", there)


def test_wrong_requests_are_one_line(batchlab: Here, tmp_path: Path) -> None:
    (tmp_path / "x.tar.xz").write_text("no archive")
    x = tmp_path / "x.tar.xz"
    for arguments, says in (
        (("table", "--from", x), "is no archive of runs"),
        (("plot", "--from", tmp_path, "-o", tmp_path / "a.png"), "is no archive of runs"),
        (("report", "--from", tmp_path / "no.tar.xz", "-o", tmp_path / "a.html"), "there is no archive"),
        (("runs", "merge", x, "--runs", tmp_path / "runs"), "is no archive of runs"),
        (("runs", "pack", tmp_path / "y.tar.xz", "--runs", tmp_path / "runs"), "there is no folder"),
        (("table", "--from", x, "--runs", tmp_path), "--from reads archives, --runs a folder: leave one of them out"),
        (("report", "--runs", tmp_path, "--from", x), "--from reads archives, --runs a folder"),
        (("reproduce", "vrgd", "--recorded", "--from", x), "leave one of them out"),
        (("reproduce", "vrgd", "--recorded", "--until-decided"), "trains nothing: leave out --until-decided"),
        (("reproduce", "vrgd", "--from", x, "--max-runs", 3), "--from trains nothing: leave out --max-runs"),
        (("reproduce", "vrdg", "--recorded"), "no paper 'vrdg': choose"),
        (("reproduce", "vrgd", "--scale", "paper", "--recorded"), "vrgd --scale paper is not recorded; there is "),
    ):
        assert says in batchlab.refuses(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar.xz"]


def test_a_recorded_reproduction_is_what_its_folder_says(
    batchlab: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and verdicts to the letter; it needs no data, trains nothing, and draws its plots."""
    store = paper(tmp_path / "runs")
    archive = pack(store, tmp_path / "sgdm_schedules-desk.tar.xz").path
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "none"))
    ask = ("reproduce", "sgdm_schedules", "--scale", "desk")
    short = batchlab.says(*ask, "--recorded", "--runs", tmp_path / "a")
    assert "arXiv 2508.03105): " in short.splitlines()[0]
    assert "--full prints " in short
    assert len(short.splitlines()) <= 14, "a screen, with where the rest is"
    ask = (*ask, "--full")
    here = batchlab.says(*ask, "--recorded", "--runs", tmp_path / "a")
    assert "at look" in here
    assert "full gradient norm" in here
    plots = sorted((tmp_path / "a" / "plots").iterdir())
    assert plots
    assert f"{plots[0]}{f' to {plots[-1].name}' if len(plots) > 1 else ''}\n" in here
    assert here.endswith(f"report: `batchlab report --from {archive}`\n"), "which takes longer than a glance"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["plots"]
    monkeypatch.setattr(Reproduction, "save_plots", lambda *_: plots)
    print_reproduction(store, "sgdm_schedules", "sgdm_schedules-desk", tmp_path / "b", Printing(full=True))
    there = batchlab.with_these["capfd"].readouterr().out  # type: ignore[attr-defined]
    assert there.splitlines()[:-1] == here.splitlines()[:-1]
    written = tmp_path / "b" / "reports" / "sgdm_schedules-desk.html"
    assert there.endswith(f"report: {written}\n")
    assert "arXiv 2508.03105" in written.read_text()
    for same in ((*ask, "--from", archive), ("reproduce", "all", "--full", "--scale", "desk", "--recorded")):
        assert batchlab.says(*same, "--runs", tmp_path / "a") == here
    said = batchlab.refuses("reproduce", "sgdm_schedules", "--recorded")
    assert "sgdm_schedules --scale laptop is not recorded; there is sgdm_schedules --scale desk" in said


@pytest.mark.slow
def test_what_reads_archives_does_not_import_torch(tmp_path: Path) -> None:
    paper(tmp_path / "sgdm")
    script = "import sys\nfrom batchlab.runner.cli import main\n"
    for line in (
        "runs pack x.tar.xz --runs sgdm",
        "runs merge x.tar.xz --runs here",
        "table --from x.tar.xz",
        "plot --from x.tar.xz",
        "reproduce sgdm_schedules --scale desk --from x.tar.xz",
    ):
        script += f"sys.argv = ['batchlab', *{line.split()}]\n"
        script += "try: main()\nexcept SystemExit as end: assert not end.code\n"
    script += "print('HEAVY', [m for m in ('torch', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.rstrip().endswith("HEAVY []"), done.stdout + done.stderr


def test_a_running_sweep_does_not_train_what_has_come_meanwhile(fleet: Fleet, tmp_path: Path) -> None:
    plans = [one(f"seed={seed}") for seed in range(3)]
    last = kept(tmp_path / "there", "seed=2")
    archive = pack(RunStore(tmp_path / "there"), tmp_path / "x.tar.xz").path
    store, done = RunStore(tmp_path / "here"), []

    def meanwhile() -> None:
        if not done:
            with unpacked([archive]) as stores:
                done.append(merge(store, stores, run_id))

    report, _ = fleet.sweep(store.root, plans, slots=1, watcher=Watcher(on_tick=meanwhile))
    assert done[0].new == [last.run_id]
    assert report.exit_code == 0
    assert rows(store.run(last.run_id), times=True) == rows(last, times=True), "its own seconds: it is the merged one"


def test_the_page_runs_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "runs", "seed=0")
    pack(RunStore(tmp_path / "runs"), tmp_path / "momentum.tar.xz")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(PAGE, "python")
    exec(block, {})
    assert capsys.readouterr().out == "1 runs, True\n"


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    (script,) = blocks(PAGE, "bash")
    said = bash(script, tmp_path)
    assert "here: 4 new runs and 0 there already" in said
    assert "test accuracy [%] by optimizer" in said
    assert "4 done already" in said
