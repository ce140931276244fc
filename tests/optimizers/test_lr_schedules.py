"""Learning-rate schedules against arXiv 2508.03105 and 2402.11215, and the contract that all of them keep."""

from __future__ import annotations

import importlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import batchlab.conf
from batchlab.optimizers.clock import Clock, next_stair, stair
from batchlab.optimizers.lr import Constant, Cosine, Diminishing, Linear, LRSchedule, Polynomial, StepGrowth

N, EPOCHS = 50_000, 300
STEPS = 117_300  # of 300 epochs at batch 128
CONF = Path(next(iter(batchlab.conf.__path__))) / "lr_schedule"


def configured(name: str, **overrides: Any) -> LRSchedule:
    """The schedule of a conf file, as the runner builds it."""
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | overrides
    assert node.pop("name") == name
    module, _, target = node.pop("_target_").rpartition(".")
    schedule = getattr(importlib.import_module(module), target)(**node)
    assert isinstance(schedule, LRSchedule)
    return schedule


def at(*, epoch: float = 0.0, step: int | None = None) -> Clock:
    """A clock in the published setting: batch 128, 391 steps per epoch."""
    step = math.floor(epoch) * 391 if step is None else step
    return Clock(round(epoch * N), step, N, EPOCHS * N, STEPS)


def rates(schedule: LRSchedule, lr: float, epochs: list[float]) -> list[float]:
    return [lr * schedule.factor(at(epoch=e)) for e in epochs]


def test_case_i_constant_and_cosine_change_by_epochs() -> None:
    assert set(rates(configured("constant"), 0.1, [0, 1.5, 299])) == {0.1}
    epochs = [0, 1, 75, 150, 299]
    expected = [0.1 * (1 + math.cos(math.pi * e / 300)) / 2 for e in epochs]
    assert rates(configured("cosine"), 0.1, epochs) == pytest.approx(expected)
    within = rates(configured("cosine"), 0.1, [17, 17.001, 17.5, 17.999])
    assert len(set(within)) == 1


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("diminishing", lambda t: 1 / math.sqrt(t + 1)),
        ("linear", lambda t: 1 - t / STEPS),
        ("polynomial", lambda t: (1 - t / STEPS) ** 2),
    ],
)
def test_case_i_diminishing_linear_and_polynomial_change_by_steps(name: str, formula: Any) -> None:
    for step in (0, 1, 2, 390, 391, 60_000, STEPS - 1):
        assert configured(name).factor(at(step=step)) == pytest.approx(formula(step))


@pytest.mark.parametrize(("maximum", "gamma"), [(2.0, 1.0801), (5.0, 1.1958), (10.0, 1.2915)])
def test_case_iii_grows_by_the_published_ratios(maximum: float, gamma: float) -> None:
    grown = rates(configured("growth", maximum=maximum), 0.1, [30 * j + 12.3 for j in range(10)])
    assert grown[0] == pytest.approx(0.1)
    assert grown[-1] == pytest.approx(0.1 * maximum)
    for a, b in pairwise(grown):
        assert round(b / a, 4) == gamma
    explicit = StepGrowth(gamma=gamma, every=30, clock="epochs", maximum=maximum)
    assert rates(explicit, 0.1, [0, 29.9, 30, 299]) == pytest.approx(
        [0.1, 0.1, 0.1 * gamma, min(0.1 * gamma**9, 0.1 * maximum)]
    )


@pytest.mark.parametrize("peak", [2.0, 5.0, 10.0])
def test_case_iv_warms_up_in_stairs(peak: float) -> None:
    gamma = peak ** (3 / 27)
    stairs = [0.1 * gamma ** (e // 3) for e in range(30)]
    for name in ("warmup_constant", "warmup_cosine"):
        assert rates(configured(name, peak=peak), 0.1, [e + 0.5 for e in range(30)]) == pytest.approx(stairs)
    assert rates(configured("warmup_constant", peak=peak), 0.1, [27, 30, 299]) == pytest.approx([0.1 * peak] * 3)
    down = [0.1 * peak * (1 + math.cos(math.pi * (e - 30) / 270)) / 2 for e in (30, 31, 165, 299)]
    assert rates(configured("warmup_cosine", peak=peak), 0.1, [30, 31.9, 165, 299]) == pytest.approx(down)


@pytest.mark.parametrize("name", ["warmup_constant", "warmup_cosine"])
@pytest.mark.parametrize("epochs", [0.5, 10.0, 30.0, 77.7, 300.0])
def test_the_packaged_warm_ups_have_the_published_shape_at_any_budget(name: str, epochs: float) -> None:
    """Stated once more with the published lengths: 30 of 300 epochs, in stairs of 3."""
    shares = configured(name)
    lengths = configured(name, warmup=epochs / 10, warmup_every=epochs / 100)
    total = round(epochs * N)
    assert shares.warmup_length(Clock(0, 0, N, total)) == pytest.approx(epochs / 10)
    for t in [*range(101), *(100 + 9 * i for i in range(100))]:  # of thousand
        clock = Clock(round((t + 0.5) * total / 1000), 0, N, total)
        assert shares.factor(clock) == pytest.approx(lengths.factor(clock))
        if t < 100:
            assert shares.factor(clock) == pytest.approx(2.0 ** (t // 10 / 9))


def test_a_warm_up_of_no_length_is_a_tenth_of_the_budget_on_its_own_clock() -> None:
    clock = Clock(0, 0, N, 20 * N, 1000)
    assert [Constant(warmup=None, clock=unit).warmup_length(clock) for unit in ("samples", "steps", "epochs")] == [
        *(2 * N, 100, 2)
    ]
    assert Constant().warmup_length(clock) == 0
    assert Constant(warmup=7).warmup_length(clock) == 7
    half_way = Clock(N, 50, N, 20 * N, 1000)
    assert Cosine(warmup=None).factor(half_way) == Cosine(warmup=100).factor(half_way) == 0.5
    assert Cosine(warmup=None, warmup_stairs=3).factor(half_way) == 0.5
    assert Cosine(warmup=None, warmup_stairs=3, warmup_every=50).factor(half_way) == 1.0, "the length counts"


def test_adadagrad_warms_up_from_0_and_ends_at_a_tenth() -> None:
    schedule = configured("cosine", clock="samples", warmup=1e6, end=9e6, minimum=0.1)
    lr = [5e-2 * schedule.factor(Clock(s, 0, N, 10_000_000)) for s in (0, 250_000, 10**6, 5 * 10**6, 9 * 10**6, 10**7)]
    assert lr == pytest.approx([0, 1.25e-2, 5e-2, 2.75e-2, 5e-3, 5e-3])


ALL = [
    Constant(),
    Diminishing(),
    StepGrowth(maximum=3.0),
    StepGrowth(gamma=1.1, every=7),
    Cosine(),
    Linear(),
    Polynomial(power=0.5),
    Cosine(minimum=0.1, end=60),
    Linear(every=9, warmup=10, warmup_from=0.5, peak=2.0),
    Polynomial(warmup=12, warmup_from=0.1, warmup_every=4, warmup_shape="geometric"),
    Diminishing(warmup=10),
    Linear(warmup=None, warmup_stairs=5),
]
every_schedule = pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)


@every_schedule
def test_contract(schedule: LRSchedule) -> None:
    """Finite, not negative, bounded by its levels, at its peak after the warm-up, and the same if asked again."""
    top = max(schedule.peak, getattr(schedule, "maximum", None) or 0, schedule.peak * 1.1**15)
    clocks = [Clock(10 * t, t, 50, 1000, 100) for t in range(100)]
    factors = [schedule.factor(c) for c in clocks]
    assert all(0 <= f <= top for f in factors)
    assert factors == [schedule.factor(c) for c in clocks]
    warmup = round(schedule.warmup_length(clocks[0]))
    assert schedule.factor(Clock(10 * warmup, warmup, 50, 1000, 100)) == schedule.peak


@pytest.mark.parametrize("schedule", [s for s in ALL if not isinstance(s, Diminishing)], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("unit", "per"), [("samples", 10.0), ("epochs", 0.2)])
def test_the_clock_only_sets_the_unit(schedule: LRSchedule, unit: str, per: float) -> None:
    """With equal batches, lengths told in another unit make the same schedule (but 1 / sqrt(t + 1), on purpose)."""
    lengths = {"every", "warmup", "warmup_every", "end"}
    told = {k: v * per if k in lengths and v is not None else v for k, v in vars(schedule).items()}
    other = type(schedule)(**told | {"clock": unit})
    for t in range(100):
        clock = Clock(10 * t, t, 50, 1000, 100)
        assert other.factor(clock) == pytest.approx(schedule.factor(clock), abs=1e-12)


def test_steps_that_are_not_known_are_refused_at_the_first_step_with_the_way_out() -> None:
    clock = Clock(0, 0, 50, 1000, None)
    by_budget = (Cosine(), Linear(), Polynomial(), StepGrowth(maximum=2.0), Cosine(warmup=10), Constant(warmup=None))
    for schedule in by_budget:
        with pytest.raises(ValueError, match="clock=samples"):
            schedule.factor(clock)
    for schedule in (Constant(), Diminishing(), StepGrowth(gamma=1.1, every=10), Constant(warmup=5, warmup_from=1)):
        assert schedule.factor(clock) == 1.0
    assert Linear(end=10).factor(clock) == 1.0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Cosine(clock="minutes"), "samples, steps or epochs"),
        (lambda: Cosine(every=0), "every"),
        *(
            (lambda kind=kind: kind(every=5e-324), "every=.* no step is shorter")
            for kind in (Cosine, Linear, Diminishing)
        ),
        (lambda: StepGrowth(gamma=2.0, every=1e-320), "every=.* no step is shorter"),
        (lambda: Cosine(warmup=5, warmup_every=1e-320), "warmup_every=.* no step is shorter"),
        (lambda: Constant(warmup=5e-324, warmup_stairs=2), "warmup=.* no step is shorter"),
        (lambda: Cosine(warmup=-1), "warmup"),
        (lambda: Cosine(peak=0), "peak"),
        (lambda: Cosine(minimum=1.5), "minimum"),
        (lambda: Cosine(warmup=5, end=5), "end"),
        (lambda: Constant(warmup=5, warmup_shape="geometric"), "warmup_from"),
        (lambda: Constant(warmup=5, warmup_shape="cubic"), "warmup_shape"),
        (lambda: Constant(warmup=5, warmup_from=-1), "warmup_from"),
        (lambda: Constant(warmup=5, warmup_every=3), "two stairs"),
        (lambda: Constant(warmup=None, warmup_shape="geometric"), "warmup_from"),
        (lambda: Constant(warmup=None, warmup_every=9).factor(Clock(0, 0, 50, 1000, 100)), "two stairs"),
        (lambda: Constant(warmup=5, warmup_stairs=1), "warmup_stairs"),
        (lambda: Constant(warmup=5, warmup_stairs=2.5), "warmup_stairs"),
        (lambda: Cosine(warmup=None, end=10).factor(Clock(0, 0, 50, 1000, 100)), "leaves nothing"),
        (lambda: Polynomial(power=0), "power"),
        (lambda: StepGrowth(), "maximum"),
        (lambda: StepGrowth(gamma=-1), "gamma"),
        (lambda: StepGrowth(maximum=0.5), "maximum"),
        (lambda: Cosine(warmup=100).factor(Clock(0, 0, 50, 1000, 100)), "train longer"),
        (lambda: StepGrowth(maximum=2, every=100).factor(Clock(0, 0, 50, 1000, 100)), "never grows"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


NUMBERS = {
    Constant: ("every", "warmup", "warmup_from", "warmup_every", "warmup_stairs", "peak"),
    Cosine: ("every", "warmup", "peak", "minimum", "end"),
    Linear: ("minimum", "end"),
    Polynomial: ("minimum", "end", "power"),
    StepGrowth: ("every", "gamma", "maximum"),
}


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in NUMBERS.items() for key in keys])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, "3"], ids=str)
def test_levels_and_lengths_are_finite_numbers(kind: Any, key: str, value: Any) -> None:
    """Whether they have an effect or not: `warmup_from` is looked at without a warm-up too."""
    needed = {"maximum": 2.0} if kind is StepGrowth else {}
    with pytest.raises(ValueError, match=rf"^{key}=.* must be (finite|a number)"):
        kind(**needed | {key: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda: StepGrowth(gamma=1e10, every=1).factor(Clock(0, 40, 50, 1000, 100)),
        lambda: StepGrowth(maximum=1e300, peak=1e-300),
        lambda: Constant(warmup=5, warmup_shape="geometric", warmup_from=1e-300, peak=1e300),
    ],
)
def test_finite_numbers_make_no_infinite_rate(make: Any) -> None:
    with pytest.raises(ValueError, match=r"beyond all numbers|out of the reach|cannot rise"):
        make()


def test_growth_without_end_stays_at_its_maximum() -> None:
    assert StepGrowth(gamma=1e10, every=1, maximum=5.0).factor(Clock(0, 40, 50, 1000, 100)) == 5.0


def test_a_setting_without_effect_warns() -> None:
    with pytest.warns(UserWarning, match="warmup_every"):
        Constant(warmup_every=3)
    with pytest.warns(UserWarning, match="warmup_stairs"):
        Constant(warmup_stairs=3)


def test_the_clock_reads_all_units() -> None:
    clock = Clock(samples=75, steps=9, epoch_size=50, total_samples=200, total_steps=20)
    assert [clock.read(u) for u in ("samples", "steps", "epochs")] == [(75, 200), (9, 20), (1.5, 4)]


@settings(max_examples=300, deadline=None)
@given(j=st.integers(0, 10**6), every=st.floats(1e-3, 1e6))
def test_stairs_begin_at_whole_multiples(j: int, every: float) -> None:
    assert stair(j * every, every) == j
    assert stair((j + 0.999) * every, every) == j
    assert stair(next_stair(j * every, every), every) in (j, j + 1)  # it lies on the edge itself
    assert stair(next_stair(j * every, every) + 1e-6 * every, every) == j + 1


def test_every_conf_file_builds() -> None:
    names = {path.stem for path in CONF.glob("*.yaml")}
    assert names >= {"constant", "diminishing", "growth", "cosine", "linear", "polynomial", "warmup_constant"}
    for name in names:
        assert 0 <= configured(name).factor(at()) <= 1
