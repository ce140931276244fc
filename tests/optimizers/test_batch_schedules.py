"""Batch schedules against arXiv 2508.03105, `total_steps` against a plain simulation, and the common contract."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import batchlab.conf
from batchlab.optimizers.batch import (
    AugmentedInnerProductTest,
    BatchSchedule,
    Constant,
    CoordinateTest,
    Exponential,
    ExponentialCapped,
    LinearRamp,
    NormTest,
    Stagewise,
    largest_batch,
    total_steps,
)
from batchlab.optimizers.clock import Clock

N, BUDGET = 50_000, 300 * 50_000
CONF = Path(next(iter(batchlab.conf.__path__))) / "batch_schedule"


def configured(name: str, **overrides: Any) -> BatchSchedule:
    """The schedule of a conf file, as the runner builds it."""
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | overrides
    assert node.pop("name") == name
    module, _, target = node.pop("_target_").rpartition(".")
    schedule = getattr(importlib.import_module(module), target)(**node)
    assert isinstance(schedule, BatchSchedule)
    return schedule


def sizes(schedule: BatchSchedule, epochs: list[float]) -> list[int]:
    return [schedule.size(Clock(round(e * N), 1, N, BUDGET)) for e in epochs]


def test_doubling_as_published() -> None:
    published = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
    first, last = [30.0 * j for j in range(10)], [30 * j + 29.99 for j in range(10)]
    for schedule in (configured("exponential"), Exponential(initial=8, factor=2.0, every=30)):
        assert sizes(schedule, first) == sizes(schedule, last) == published


def test_capped_growth_as_published() -> None:
    published = [8, 10, 14, 22, 38, 70, 134, 261, 516, 1024]
    assert sizes(configured("exponential_capped"), [30.0 * j for j in range(10)]) == published
    assert sizes(ExponentialCapped(initial=8, maximum=1024, every=30), [30.0 * j for j in range(10)]) == published


def test_steps_as_published() -> None:
    assert total_steps(configured("constant"), N, BUDGET) == 117_300
    assert total_steps(configured("exponential"), N, BUDGET) == 374_760


def test_stages_share_the_samples() -> None:
    schedule = Stagewise(sizes=[10, 20, 40])
    edges = [0, 4_999_999, 5_000_000, 9_999_999, 10_000_000, 14_999_999]
    assert [schedule.size(Clock(s, 1, N, BUDGET)) for s in edges] == [10, 10, 20, 20, 40, 40]


def test_linear_ramp() -> None:
    assert sizes(LinearRamp(initial=256, increment=256, every=30), [0, 29.9, 30, 299]) == [256, 256, 512, 2560]
    to_top = LinearRamp(initial=256, increment=256, maximum=1024)  # four stairs share the budget
    assert sizes(to_top, [0, 74.9, 75, 150, 225, 299]) == [256, 256, 512, 768, 1024, 1024]
    uneven = LinearRamp(initial=256, increment=300, maximum=1000)
    assert sizes(uneven, [0, 75, 150, 225]) == [256, 556, 856, 1000]


def plain_simulation(schedule: BatchSchedule, n: int, budget: int) -> tuple[int, int]:
    """Steps, and the largest batch."""
    clock, largest = Clock(0, 0, n, budget), 0
    while clock.samples < budget:
        size = min(schedule.size(clock), n - clock.samples % n, budget - clock.samples)
        clock = Clock(clock.samples + size, clock.steps + 1, n, budget)
        largest = max(largest, size)
    return clock.steps, largest


@st.composite
def runs(draw: st.DrawFn) -> tuple[BatchSchedule, int, int]:
    n, budget = draw(st.integers(1, 60)), draw(st.integers(1, 600))
    size = st.integers(1, n)
    clock = draw(st.sampled_from(["samples", "steps", "epochs"]))
    every = draw(st.floats(0.05, 100) | st.sampled_from([0.1, 0.3, 1.0, 7.0]))
    if clock != "steps":
        every = draw(st.none() | st.just(every))
    kwargs = {"initial": draw(size), "every": every, "clock": clock}
    schedule: BatchSchedule = draw(
        st.sampled_from(
            [
                Constant(size=draw(size)),
                Exponential(factor=draw(st.floats(0.3, 5)), **kwargs),
                LinearRamp(increment=draw(size), **kwargs),
                Stagewise(sizes=draw(st.lists(size, min_size=1, max_size=6))),
            ]
        )
    )
    return schedule, n, budget


@settings(max_examples=500, deadline=None)
@given(runs())
def test_total_steps_counts_what_a_plain_simulation_counts(run: tuple[BatchSchedule, int, int]) -> None:
    assert (total_steps(*run), largest_batch(*run)) == plain_simulation(*run)


def test_the_largest_batch_where_the_gradient_decides() -> None:
    """Its maximum, the training set, or the budget, whichever is least."""
    assert largest_batch(NormTest(maximum=512), 1000, 9000) == 512
    assert largest_batch(NormTest(), 1000, 9000) == 1000
    assert largest_batch(NormTest(maximum=5000), 1000, 700) == 700


def test_total_steps_looks_at_a_long_run_a_few_times_only() -> None:
    class Counting(Exponential):
        asked: ClassVar[list[int]] = []

        def planned(self, clock: Clock) -> int:
            self.asked.append(clock.samples)
            return super().planned(clock)

    assert total_steps(Counting(), N, BUDGET) == 374_760
    assert len(Counting.asked) == 10


class EverySecond(BatchSchedule):
    """A user's own schedule, which gives no more than it must."""

    def planned(self, clock: Clock) -> int:
        return 3 if clock.steps % 2 else 5


class Adaptive(Constant):
    needs = "moments"


def test_a_users_own_schedule_is_counted_step_by_step() -> None:
    assert total_steps(EverySecond(), 8, 24) == 6
    run = (EverySecond(), 7, 21)
    assert (total_steps(*run), largest_batch(*run)) == plain_simulation(*run)


def test_steps_are_unknown_where_the_gradient_decides() -> None:
    assert total_steps(Adaptive(), 10, 100) is None


ALL = [
    Constant(size=4),
    Exponential(initial=2),
    Exponential(initial=1000 // 20, factor=100.0),
    ExponentialCapped(initial=3, maximum=None),
    ExponentialCapped(initial=3, maximum=30, factor=1.5, every=13, clock="samples"),
    Stagewise(sizes=[3, 9]),
    LinearRamp(initial=5, increment=5),
    LinearRamp(initial=5, increment=7, every=4, clock="steps", maximum=20),
    EverySecond(),
]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_contract(schedule: BatchSchedule) -> None:
    """Whole sizes from 1 to the training set, the same when asked again, and quiet about gradients."""
    clocks = [Clock(10 * t, t, 50, 1000) for t in range(100)]
    found = [schedule.size(c) for c in clocks]
    assert all(isinstance(b, int) and 1 <= b <= 50 for b in found)
    assert found == [schedule.size(c) for c in clocks]
    assert found[-1] <= (getattr(schedule, "maximum", None) or 50)
    assert schedule.needs is None
    assert schedule.record() == {}
    state = schedule.state_dict()
    schedule.load_state_dict(state)
    assert state == {}
    for clock, size in zip(clocks, found, strict=True):  # `changes` promises that nothing changes before
        unit, until = schedule.changes(clock)
        assert until > clock.time(unit)
        for later, same in zip(clocks, found, strict=True):
            if clock.samples <= later.samples and later.time(unit) < until:
                assert same == size


def test_growth_without_end_stays_finite() -> None:
    assert Exponential(initial=8, factor=10.0, every=1, clock="steps").size(Clock(10, 10_000, 50, 10**9)) == 50


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Constant(size=0), "size=0"),
        (lambda: Constant(size=1.5), "whole number"),
        (lambda: Exponential(initial=0), "initial"),
        (lambda: Exponential(factor=0.0), "factor"),
        (lambda: Exponential(every=0), "every"),
        *((lambda kind=kind: kind(every=5e-324), "every=.* no step is") for kind in (Exponential, LinearRamp)),
        (lambda: ExponentialCapped(every=1e-13), "every=1e-13 must be at least 1e-12"),
        (lambda: Exponential(clock="minutes"), "samples, steps or epochs"),
        (lambda: Exponential(initial=8, maximum=4), "maximum=4"),
        (lambda: ExponentialCapped(factor=1.0), "factor"),
        (lambda: LinearRamp(increment=0), "increment"),
        (lambda: Stagewise(sizes=[]), "sizes"),
        (lambda: Stagewise(sizes=[4, 0]), "sizes"),
        (lambda: Constant(size=51).size(Clock(0, 0, 50, 100)), "larger than the training set of 50"),
        (lambda: Exponential(initial=51).size(Clock(0, 0, 50, 100)), "larger than the training set of 50"),
        (lambda: ExponentialCapped(every=5, maximum=40).size(Clock(0, 0, 50, 100)), "never grows"),
        (lambda: ExponentialCapped(factor=1e200).size(Clock(0, 0, 50, 1000)), "beyond all numbers"),
        (lambda: total_steps(Exponential(clock="steps"), 50, 100), "clock=samples"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


NUMBERS = {
    Constant: ("size",),
    Exponential: ("initial", "factor", "every", "maximum"),
    ExponentialCapped: ("initial", "factor", "every", "maximum"),
    LinearRamp: ("initial", "increment", "every", "maximum"),
    Stagewise: ("sizes",),
    NormTest: ("initial", "maximum", "interval", "eta"),
    AugmentedInnerProductTest: ("theta", "nu"),
    CoordinateTest: ("eta",),
}


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in NUMBERS.items() for key in keys])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "3", 10**400], ids=str)
def test_sizes_and_lengths_are_finite_numbers(kind: Any, key: str, value: Any) -> None:
    if key == "interval" and value == 10**400:  # never tested again: nothing is wrong with that
        return
    with pytest.raises(ValueError, match=rf"^{key}=.* must be"):
        kind(**{key: [value] if key == "sizes" else value})


def test_conf_files_build() -> None:
    for name in ("constant", "exponential", "exponential_capped", "stagewise", "linear_ramp"):
        assert 1 <= configured(name).size(Clock(0, 0, 1437, 14370)) <= 1437


class Given(BatchSchedule):
    """Plans what it is told to."""

    def __init__(self, planned: Any) -> None:
        self.given = planned

    def planned(self, clock: Clock) -> int:
        size: int = self.given
        return size


@pytest.mark.parametrize("planned", [0, -1, "16", 16.5, 16.0, float("nan"), None, True, np.int64(0)])
def test_what_is_no_size_is_refused_at_any_step(planned: Any) -> None:
    schedule = Given(planned)
    for steps in (0, 7):
        with pytest.raises(ValueError, match=r"Given\.planned gives .*: it must be a whole number of samples"):
            schedule.size(Clock(0, steps, N, BUDGET))
    with pytest.raises(ValueError, match=r"Given\.planned gives"):
        total_steps(schedule, N, BUDGET)


def test_numpys_whole_numbers_are_sizes() -> None:
    size = Given(np.int64(16)).size(Clock(0, 0, N, BUDGET))
    assert (size, type(size)) == (16, int)
