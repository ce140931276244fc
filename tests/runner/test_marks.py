"""Where a run is evaluated: few marks, shared by all runs of a budget, the end among them; what a row's loss is of."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import frozen, one, rows, trained

from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.train import writer
from batchlab.runner.train.marks import Marks

FEW = ("train.epochs=2", "log.evaluate_every=0.1", "log.evaluations=5")
"""On the 1,442 digits: five marks from 144.2 samples to 2,884."""
PLACES = [145, 305, 645, 1364, 2884]
"""144.2 x 20^(k/4), rounded up: a run is at a mark from its first whole sample on."""


def test_marks_are_geometric_and_the_last_is_the_end() -> None:
    assert Marks(144.2, 2884, 5).places == PLACES == [math.ceil(144.2 * 20 ** (k / 4)) for k in range(4)] + [2884]
    assert Marks(10, 10_000, 4).places == [10, 100, 1000, 10_000]
    assert Marks(0.1 * 1442, 1442, 1).places == [1442]
    assert Marks(5000, 1442, 3).places == [1442], "none lies beyond the budget"
    assert Marks(100, 1000).places is None


@given(
    every=st.floats(0.01, 1e5),
    total=st.integers(1, 10**6),
    count=st.integers(1, 30),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=40),
)
def test_a_run_is_evaluated_once_at_each_mark_and_at_its_end(
    every: float, total: int, count: int, sizes: list[int]
) -> None:
    """Whatever its batches: of the step that reaches a mark, and of no other."""
    marks = Marks(every, total, count)
    assert marks.places is not None
    assert marks.places == sorted(set(marks.places))
    assert marks.places[-1] == total
    assert 1 <= len(marks.places) <= count
    samples, at = 0, []
    for size in [*sizes, total]:
        before, samples = samples, min(samples + size, total)
        if samples > before and marks.due(before, samples):
            at.append(samples)
            assert any(before < place <= samples for place in marks.places)
    assert at[-1] == total
    ends = [min(t for t in at if t >= place) for place in marks.places]
    assert sorted(set(ends)) == at


@given(every=st.floats(1, 1e4), total=st.integers(100, 10**5), count=st.integers(2, 20))
def test_marks_lie_apart_by_one_factor(every: float, total: int, count: int) -> None:
    places = Marks(every, total, count).places
    assert places is not None
    if every < total and len(places) == count:
        ratio = (total / every) ** (1 / (count - 1))
        for k, place in enumerate(places):
            assert every * ratio**k - 1e-3 <= place <= every * ratio**k * (1 + 1e-6) + 1


@pytest.mark.parametrize("count", [10**9, int(1e300), 5000])
def test_more_marks_than_samples_are_one_a_sample(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a billion waits for those that exist, and looks for one in a few steps."""
    looks, place = 0, Marks._place

    def counted(self: Marks, k: int) -> int:
        nonlocal looks
        looks += 1
        return place(self, k)

    monkeypatch.setattr(Marks, "_place", counted)
    marks = Marks(14.42, 1442, count)
    assert looks == 0
    assert marks.due(700, 701)
    assert looks < 2 * 64
    found = marks.places
    assert found is not None
    assert (found[0], found[-1], len(set(found))) == (15, 1442, len(found))
    assert len(found) > 1000
    assert looks < 64 * 2000
    assert count == 5000 or found == [*range(15, 1443)]


@pytest.mark.parametrize("count", [None, 7])
def test_marks_closer_than_any_sample_are_one_a_step(count: int | None) -> None:
    marks = Marks(1e-320, 1442, count)
    assert marks.due(0, 1)
    assert marks.due(1441, 1442)


SCHEDULES = {
    "constant": ("batch_schedule=constant", "batch_schedule.size=128"),
    "growing": ("batch_schedule=exponential", "batch_schedule.initial=8", "batch_schedule.every=0.5"),
    "adaptive": ("batch_schedule=norm_test", "batch_schedule.initial=16", "train.groups=4"),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_rows_come_at_the_marks_whatever_the_batches(
    schedule: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    evaluate = writer.Writer.evaluate

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return evaluate(*args)

    monkeypatch.setattr(writer.Writer, "evaluate", counted)
    run, config = frozen(tmp_path, *FEW, *schedule, "log.steps=true")
    assert trained(run, config) == "done"
    ends = [0] + [step["samples"] for step in steps_of(run)]
    assert [row["samples"] for row in rows(run)] == [0] + [min(e for e in ends if e >= place) for place in PLACES]
    assert calls == 1 + len(PLACES)


def steps_of(run: Any) -> list[dict[str, Any]]:
    """The sealed rows of steps."""
    import pyarrow.parquet as pq

    return pq.read_table(run.steps).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("schedule", [SCHEDULES["constant"], SCHEDULES["growing"]], ids=["constant", "growing"])
def test_the_loss_of_a_row_is_of_the_steps_just_before_its_mark(schedule: tuple[str, ...], tmp_path: Path) -> None:
    """Of those that end within `evaluate_every` before it, and since the row before."""
    run, config = frozen(tmp_path, *FEW, *schedule, "log.steps=true")
    trained(run, config)
    steps, found = steps_of(run), rows(run)
    for before, row, place in zip(found, found[1:], PLACES, strict=False):
        start = max(before["samples"], place - 144.2)
        own = [s for s in steps if start < s["samples"] <= row["samples"]]
        mean = sum(s["train_loss"] * s["batch_size"] for s in own) / sum(s["batch_size"] for s in own)
        assert row["train_loss"] == pytest.approx(mean, rel=1e-6)


def test_every_given_epochs_nothing_is_left_out_of_the_loss(tmp_path: Path) -> None:
    run, config = frozen(tmp_path, "train.epochs=2", "log.evaluate_every=0.4", "log.steps=true")
    trained(run, config)
    steps, found = steps_of(run), rows(run)
    assert [row["samples"] for row in found] == [0, 640, 1280, 1826, 2338, 2884]
    for before, row in pairwise(found):
        own = [s for s in steps if before["samples"] < s["samples"] <= row["samples"]]
        mean = sum(s["train_loss"] * s["batch_size"] for s in own) / (row["samples"] - before["samples"])
        assert row["train_loss"] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("stop_after", [1, 3, 8])
def test_resumed_between_marks_it_keeps_them(stop_after: int, tmp_path: Path) -> None:
    setup = (*FEW, "batch_schedule.size=32", "+measure=full_gradient_norm_paper")
    whole, config = frozen(tmp_path / "whole", *setup)
    trained(whole, config)
    parts, config = frozen(tmp_path / "parts", *setup)
    pieces = 0
    while trained(parts, config, stop_after=stop_after) == "interrupted":
        pieces += 1
    assert pieces > len(PLACES)
    assert rows(parts) == rows(whole)


def test_a_loss_that_was_not_finite_is_not_forgotten() -> None:
    """A run that was lost before the window begins is lost."""
    import torch

    from batchlab.runner.train.rank import Meters

    meters = Meters.on(torch.device("cpu"))
    meters.loss += torch.tensor(math.inf)
    meters.restart(torch.tensor(2.0), 8)
    assert not meters.loss.isfinite()
    meters.loss = torch.tensor(5.0, dtype=torch.float64)
    meters.restart(torch.tensor(2.0), 8)
    assert (float(meters.loss), meters.loss.dtype, meters.summed) == (2.0, torch.float64, 8)


def test_identities_are_what_they_were_where_nothing_is_said() -> None:
    (plain,) = compose([])
    old = plain.tree | {"log": {key: value for key, value in plain.tree["log"].items() if key != "evaluations"}}
    assert one("log.evaluations=null").run_id == one().run_id
    assert one("log.evaluations=5").run_id != one("log.evaluations=6").run_id != one().run_id
    assert RunConfig.of(old).log == RunConfig.of(plain.tree).log


@pytest.mark.parametrize("value", ["0", "-3", "2.5"])
def test_as_many_marks_as_there_can_be(value: str) -> None:
    with pytest.raises(ConfigError, match=r"log\.evaluations.*must be"):
        RunConfig.of(one(f"log.evaluations={value}").tree)
