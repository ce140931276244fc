"""Which runs train together: groups, options, and what a dry run says of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runs import TINY, one
from shell import in_process

from batchlab.results.compare.claims import Claim, Judged, Side, Verdict
from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.papers import catalogue
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner import archives, execute, reproduction
from batchlab.runner.launch.executors.local import LocalExecutor, Slots
from batchlab.runner.options import MOST_TOGETHER, Printing, SweepOptions, most_together
from batchlab.runner.plan import fusable
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.fuse import LEFT_OVER, LIMIT, LONELY, ROOM, grouped
from batchlab.runner.plan.reproduce import PaperPlan
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.train.launched import TOGETHER

BASE = one("optimizer=sgd")
WIDTHS = ([8], [16], [24])
COMPILED = fusable.why_alone(BASE.tree | {"train": BASE.tree["train"] | {"compile": True}})


def planned(seed: int, width: int = 0, *, compiled: bool = False) -> Planned:
    """A run of one of three models, as fast as a test makes hundreds."""
    tree = BASE.tree | {
        "seed": seed,
        "model": BASE.tree["model"] | {"hidden": WIDTHS[width]},
        "train": BASE.tree["train"] | {"compile": compiled},
    }
    return replace(BASE, run_id=f"{width}-{seed}{compiled}", tree=tree)


RUNS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40).map(
    lambda drawn: [planned(seed, width, compiled=compiled) for seed, (width, compiled) in enumerate(drawn)]
)


@settings(max_examples=50, deadline=None)
@given(RUNS, st.none() | st.integers(1, 7), st.integers(1, 9))
def test_every_run_is_in_one_group_of_its_kind(runs: list[Planned], most: int | None, places: int) -> None:
    found = grouped(runs, most, places)
    assert sorted(one.run_id for group in found.groups for one in group) == sorted(one.run_id for one in runs)
    fused = [group for group in found.groups if len(group) > 1]
    for group in fused:
        assert len(group) <= (most or LIMIT)
        assert len({fusable.key(one.tree) for one in group}) == 1
        assert not any(fusable.why_alone(one.tree) for one in group)
        assert [runs.index(one) for one in group] == sorted(runs.index(one) for one in group)
    firsts = [runs.index(group[0]) for group in found.groups]
    assert firsts == sorted(firsts), "in the order in which they would have been started"
    assert found.alone.total() == len(found.groups) - len(fused)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(1, 9))
@example(123, 7)  # 7 times a seventh of it is more than it, in floating point
def test_places_are_filled_and_groups_are_balanced(n: int, places: int) -> None:
    sizes = [len(group) for group in grouped([planned(seed) for seed in range(n)], None, places).groups]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == max(min(places, n), -(-n // LIMIT)), "no place is idle, and no more groups than that"


@pytest.mark.parametrize(("alone", "groups"), [(0, [1, 2]), (1, [1, 3]), (2, [1, 1, 3])])
def test_runs_that_train_alone_take_places_too(alone: int, groups: list[int]) -> None:
    runs = [*(planned(100 + seed, compiled=True) for seed in range(alone)), *(planned(seed) for seed in range(3))]
    assert [len(group) for group in grouped(runs, None, 2).groups] == groups


def test_where_there_is_a_place_for_each_nobody_shares_one() -> None:
    """Two runs of a second took two seconds on one core, beside one that had nothing to do."""
    found = grouped([planned(seed) for seed in range(3)], None, 4)
    assert [len(group) for group in found.groups] == [1, 1, 1]
    assert str(found) == f"3 alone: {ROOM} (3)"


def test_ten_runs_on_two_cores_are_two_groups_of_five() -> None:
    assert [len(group) for group in grouped([planned(seed) for seed in range(10)], None, 2).groups] == [5, 5]


def test_who_is_alone_and_why() -> None:
    runs = [planned(0), planned(1, compiled=True), planned(2), planned(3, 1)]
    assert str(grouped(runs, None, 1)) == (
        f"2 runs train in 1 group of 2 where a trial finds that quicker (--fuse off trains each alone); "
        f"2 alone: {COMPILED} (1), {LONELY} (1)"
    )
    assert str(grouped(runs, 1, 1)) == "4 alone: --fuse off (4)"
    assert str(grouped(runs, None, 1, lambda run: "asked for" if run.tree["seed"] == 0 else "")).endswith(
        f"4 alone: {LONELY} (2), asked for (1), {COMPILED} (1)"
    )
    cluster = replace(BASE, tree=BASE.tree | {"executor": {"name": "ray"}})
    assert str(grouped([cluster, cluster], None, 1)) == "2 alone: executor=ray (2)"
    other = BASE.tree["executor"] | {"launcher": "torchrun"}
    assert "executor.launcher=torchrun (1)" in str(
        grouped([replace(BASE, tree=BASE.tree | {"executor": other})], None, 1)
    )


def test_one_that_others_like_it_leave_over() -> None:
    runs = [planned(0), planned(1), planned(2), planned(3, 1)]
    assert str(grouped(runs, 2, 1)) == (
        f"2 runs train in 1 group of 2 (--fuse off trains each alone); 2 alone: {LEFT_OVER} (1), {LONELY} (1)"
    )
    mates = {run.run_id: str(i) for i, run in enumerate(runs[:2])}
    assert str(grouped(runs[:2], None, 1, mates=mates)) == f"2 alone: {LEFT_OVER} (2)"


def test_who_was_together_stays_together() -> None:
    """Of two groups of three one is done but for one run; the other was cut off, and there are new runs."""
    runs = [planned(seed) for seed in range(8)]
    mates = {runs[0].run_id: "a", **{run.run_id: "b" for run in runs[1:4]}}
    groups = grouped(runs, None, 4, mates=mates).groups
    assert [[run.tree["seed"] for run in group] for group in groups] == [[0], [1, 2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(("fuse", "said"), [("auto", None), (8, "8")])
def test_a_number_that_was_asked_for_is_told_to_who_trains(fuse: str | int, said: str | None, tmp_path: Path) -> None:
    """Frozen configurations do not have options of the command line."""
    told: list[dict[str, Any]] = []
    executor = LocalExecutor(devices=1, fuse=fuse)
    executor.slots = Slots(["core0"], 1)
    executor.server = SimpleNamespace(tell=told.append)  # type: ignore[assignment]
    executor.start_together([RunStore(tmp_path).run(name) for name in ("a", "b")])
    assert told[0]["env"].get(TOGETHER) == said


def test_how_many_are_asked_for() -> None:
    assert [most_together(value, "--fuse") for value in ("auto", "off", False, "8", 8, "2")] == [None, 1, 1, 8, 8, 2]
    for value in ("on", "0", "1", 1, "-1", "1.5", "", True, None, MOST_TOGETHER + 1, "٣"):
        with pytest.raises(ValueError, match=rf"--fuse={value}: auto, off \(each alone\), or how many"):
            most_together(value, "--fuse")
    with pytest.raises(ValueError, match="--fuse=many"):
        SweepOptions(fuse="many")
    with pytest.raises(ConfigError, match=r"executor\.fuse=many: auto, off"):
        LocalExecutor(fuse="many")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "4 runs train in 2 groups of up to 2 where a trial finds that quicker (--fuse off trains each alone)\n"),
        (("--fuse", "off"), "4 alone: --fuse off (4)\n"),
        (("executor.fuse=off", "--fuse", "auto"), "4 runs train in 2 groups of up to 2"),
        (("--timeout", "1h"), "4 alone: --timeout ends runs one by one (4)\n"),
    ],
)
def test_a_dry_run_says_it(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked = (
        "sweep",
        *TINY,
        "optimizer=sgd",
        "seed=range(0,4)",
        "executor.devices=2",
        "--dry-run",
        "--runs",
        str(tmp_path),
    )
    code, out, _ = in_process(*asked, *arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert said in out


def test_a_reproduction_says_how_claims_about_time_are_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that trains the runs again, each alone."""
    claim = Claim("faster", "", "ours", Side("a", {}), (Side("b", {}),), Metric("train_seconds"))
    run = RunRow("a", State.DONE, None, {"fused": 8}, {}, {}, {})
    open_ = Judged(claim, [], math.nan, math.nan, Verdict.UNDECIDED, "", runs=(run,))
    monkeypatch.setattr(catalogue, "reproduce", lambda *_: Reproduction("dasvrda", "", "", claims=[open_, open_]))
    monkeypatch.setattr(execute, "usual_runs", lambda: None)
    monkeypatch.setattr("batchlab.results.report.write.write_report", lambda store, path, sweep: path)
    monkeypatch.setattr(reproduction, "OUT", SimpleNamespace(print=lambda *_, **__: None))
    printed: list[str] = []
    monkeypatch.setattr(archives, "OUT", SimpleNamespace(print=lambda text, **_: printed.append(str(text))))
    for runs, there in ((tmp_path, f" --runs {tmp_path}"), (Path("runs"), "")):
        reproduction._conclude(PaperPlan("dasvrda", "laptop", []), runs, Printing(full=True), " --until-decided")
        command = f"batchlab reproduce dasvrda --scale laptop --until-decided{there} --fuse off --rerun"
        said = f"2 claims about time are not decided because their runs trained together: `{command}` trains each alone"
        assert said in printed
        printed.clear()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fuse", "many"), "--fuse=many: auto, off (each alone), or how many train in one process (2 to 256)"),
        (("executor.fuse=0",), "executor.fuse=0: auto, off (each alone), or how many train in one process (2 to 256)"),
        (
            ("executor.fuse=2,off",),
            "executor.fuse=2,off: a sweep has one executor: do not sweep over executor or its keys",
        ),
        (("executor.threads=1,2",), "do not sweep over executor or its keys"),
        (("executor=local,ray",), "do not sweep over executor or its keys"),
        (("--fuse", "2", "executor=ray"), "--fuse: executor=ray trains every run in a process of its own"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked = ("sweep", *TINY, "--dry-run", "--runs", str(tmp_path), *arguments)
    code, _, err = in_process(*asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    (line,) = (line for line in err.splitlines() if line.startswith("batchlab: "))
    assert line.endswith(said)


def test_how_it_is_trained_is_no_part_of_a_runs_identity() -> None:
    assert one("executor.fuse=off").run_id == one("executor.fuse=4").run_id


def test_no_place_trains_far_more_than_its_share() -> None:
    """48 runs of one kind and 16 of another on two places: 48 beside 16 would leave one idle for most of the time."""
    runs = [planned(seed, seed // 48) for seed in range(64)]
    assert sorted(len(group) for group in grouped(runs, None, 2).groups) == [16, 24, 24]
