"""`train --profile`: phases that exclude each other, a trace, and the numbers of a run that nobody profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from pages import DOCS
from runs import Fleet, context, frozen, one, rows, trained
from shell import TRAIN, in_one_line

from batchlab.results.show.profile_sheet import profile_sheet
from batchlab.results.store.run import Run
from batchlab.runner.options import SweepOptions
from batchlab.runner.train import profile as profiles
from batchlab.runner.train.profile import Profile

ALWAYS = {"data", "forward", "backward", "optimizer", "logging", "loop"}
CASES: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "plain": ((), ALWAYS),
    "closure": (("optimizer=heun",), ALWAYS),
    "groups": (("optimizer=vr_sgd", "train.groups=8"), ALWAYS | {"moments"}),
    "per sample": (("batch_schedule=norm_test", "batch_schedule.estimator=per_sample"), ALWAYS | {"moments"}),
    "parts": (("train.micro_batch=16",), ALWAYS),
}


def profiled(run: Run, config: Any) -> dict[str, Any]:
    """Train it, profiled; what it found."""
    run.write_state(profile=True)
    assert trained(run, config) == "done"
    assert "profile" not in run.read_state().info
    found: dict[str, Any] = json.loads((run.log / "profile.json").read_text())
    return found


@pytest.mark.parametrize(("overrides", "phases"), CASES.values(), ids=CASES)
def test_the_numbers_are_those_of_a_run_that_nobody_profiles(
    tmp_path: Path, overrides: tuple[str, ...], phases: set[str]
) -> None:
    plain, config = frozen(tmp_path / "plain", *overrides)
    assert trained(plain, config) == "done"
    before = torch.autograd.backward, torch.autograd.grad, dist.all_reduce
    run, config = frozen(tmp_path / "profiled", *overrides)
    found = profiled(run, config)
    assert (torch.autograd.backward, torch.autograd.grad, dist.all_reduce) == before
    assert rows(run) == rows(plain)
    assert found["seconds"].keys() == phases
    assert found["apart"].keys() == {"evaluation"}
    assert not (plain.log / "profile.json").exists()
    events = json.loads((run.log / "trace.json").read_text())["traceEvents"]
    assert phases - {"loop"} <= {event.get("name") for event in events}


def test_each_moment_is_of_one_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by one each time it is asked."""
    clock = iter(range(10_000))
    monkeypatch.setattr(profiles.time, "perf_counter", lambda: float(next(clock)))
    watch = Profile(context(Run(tmp_path)))
    watch._mark = watch._now()
    with watch.phase("optimizer"):
        with watch.phase("forward"):
            watch.become("moments")
        with watch.phase("evaluation"), watch.phase("forward"), watch.phase("backward"):
            pass
    sums = watch.sums["first"]
    assert sum(sums.values()) == watch._mark
    assert sums == {"loop": 1.0, "optimizer": 3.0, "forward": 1.0, "moments": 1.0, "evaluation": 1.0}
    assert watch.counts == {"optimizer": 1, "forward": 1, "evaluation": 1}


def test_a_run_of_few_steps_is_told_whole(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, "batch_schedule.size=1000")
    found = profiled(run, config)
    assert found["steps"] == run.read_state().info["steps"] == 2
    said = " ".join(profile_sheet(found, run.log).notes)
    assert str(run.log / "trace.json") in said
    assert "only 2 steps; the first are slow" in said
    assert "the first are slow" not in " ".join(profile_sheet(found | {"steps": 20}, run.log).notes)


def test_the_sheet_adds_up() -> None:
    found = {
        "steps": 4,
        "seconds": {"forward": 1.0, "loop": 3.0},
        "apart": {"evaluation": [2, 5.0]},
        "device": "cuda:0",
        "ranks": 2,
        "trace": None,
    }
    sheet = profile_sheet(found, Path("log"))
    assert [record["share"] for record in sheet.records] == [0.25, 0.75]
    assert [[cell.text for cell in row] for row in sheet.rows][-1] == ["a step", "1000.000", "100.0%"]
    said = " ".join(sheet.notes)
    assert "2 evaluation apart" not in said
    assert "2500.000 ms each, 5.00 s in all" in said
    assert "waited for" in said
    assert "waiting for the others" in said


def test_several_ranks_are_profiled_by_the_first(fleet: Fleet, tmp_path: Path) -> None:
    run = fleet.train(tmp_path, one("nproc=2"), options=SweepOptions(profile=True))
    found = json.loads((run.log / "profile.json").read_text())
    assert found["ranks"] == 2
    assert found["seconds"].keys() == ALWAYS | {"reduce"}
    assert (run.log / "trace.json").exists()


def test_what_has_no_steps_to_profile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("train", "--profile", "--runs", str(tmp_path))
    code, said = in_one_line(
        *asked, "optimizer=saga", "dataset=breast_cancer", "model=logistic", monkeypatch=monkeypatch, capfd=capfd
    )
    assert code == 2
    assert said.startswith("batchlab: --profile: optimizer=saga is a finite-sum solver")
    run, config = frozen(tmp_path)
    assert trained(run, config) == "done"
    code, said = in_one_line(*asked, *TRAIN[1:], monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert f"run {run.run_id} is over: --rerun trains it again" in said


def test_the_page_names_both_commands() -> None:
    page = (DOCS / "performance.md").read_text()
    assert "batchlab status NAME --time" in page
    assert "batchlab train --profile" in page
