"""Step decay, WSD and one cycle: their formulas once more in NumPy, and torch's schedulers beside them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as theirs

from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import WSD, Linear, LRSchedule, OfTorch, OneCycle, Rates, StepDecay

N, B = 50, 5
PER_EPOCH = N // B


def at(step: int, epochs: int = 30) -> Clock:
    """A clock of batches of 5 of 50."""
    return Clock(B * step, step, N, N * epochs, PER_EPOCH * epochs)


def path(schedule: Rates, epochs: int = 30) -> list[float]:
    return [schedule.factor(at(t, epochs)) for t in range(PER_EPOCH * epochs)]


def torchs(make: Callable[[torch.optim.Optimizer], Any], steps: int) -> list[float]:
    """Rates of a scheduler of torch's, stepped as torch says, on an initial rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_step_decay_is_torchs() -> None:
    steps = path(StepDecay(every=70, gamma=0.3))
    assert steps == pytest.approx(torchs(lambda o: theirs.StepLR(o, 70, 0.3), 300))
    steps = path(StepDecay(milestones=[40, 41, 250], gamma=0.3))
    assert steps == pytest.approx(torchs(lambda o: theirs.MultiStepLR(o, [40, 41, 250], 0.3), 300))
    epochs = path(StepDecay(milestones=[10, 20], clock="epochs"))
    by_epoch = torchs(lambda o: theirs.MultiStepLR(o, [10, 20]), 30)
    assert epochs == pytest.approx(np.repeat(by_epoch, PER_EPOCH))


def test_step_decay_falls_twice_where_nothing_is_said() -> None:
    for clock in ("steps", "epochs", "samples"):
        assert path(StepDecay(clock=clock)) == pytest.approx([1.0] * 100 + [0.1] * 100 + [0.01] * 100)
    warm = path(StepDecay(milestones=[150], warmup=100))
    assert warm == pytest.approx([t / 100 for t in range(100)] + [1.0] * 50 + [0.1] * 150), "from the run's beginning"


@pytest.mark.parametrize("shape", ["linear", "1-sqrt", "cosine"])
@pytest.mark.parametrize("minimum", [0.0, 0.2])
def test_wsd(shape: Any, minimum: float) -> None:
    """W = 30 steps up, 300 in all, D = 60 down."""
    t = np.arange(300.0)
    u = np.clip((t - 240) / 60, 0, 1)
    left = {"linear": 1 - u, "1-sqrt": 1 - np.sqrt(u), "cosine": (1 + np.cos(np.pi * u)) / 2}[shape]
    expected = np.where(t < 30, 2 * t / 30, minimum + (2 - minimum) * left)
    made = WSD(warmup=30, decay=60, decay_shape=shape, minimum=minimum, peak=2.0)
    np.testing.assert_allclose(path(made), expected, atol=1e-12)
    by_epochs = WSD(warmup=3, decay=6, decay_shape=shape, minimum=minimum, peak=2.0, clock="epochs")
    np.testing.assert_allclose(path(by_epochs), expected, atol=1e-12)


def test_wsds_lengths_are_tenths() -> None:
    assert path(WSD(warmup=None)) == pytest.approx(path(WSD(warmup=30, decay=27)))
    assert path(WSD(warmup=20, end=220)) == pytest.approx(path(WSD(warmup=20, end=220, decay=20)))


@pytest.mark.parametrize(("strategy", "shape"), [("cos", "cosine"), ("linear", "linear")])
@pytest.mark.parametrize("up", [0.3, 0.55])
def test_one_cycle_is_torchs_but_for_a_step(strategy: Any, shape: Any, up: float) -> None:
    """torch's peak is at up T - 1 and its end at T - 1."""
    ours = OneCycle(warmup=up * 300 - 1, end=299, warmup_shape=shape, decay_shape=shape)
    cycle = torchs(
        lambda o: theirs.OneCycleLR(o, 1.0, 300, pct_start=up, anneal_strategy=strategy, cycle_momentum=False), 299
    )
    assert path(ours)[:299] == pytest.approx(cycle, abs=1e-12)
    plain = path(OneCycle(up=up, warmup_shape=shape, decay_shape=shape))
    assert plain == pytest.approx(path(ours), abs=0.04 if up > 0.5 else 0.03)
    assert max(plain) == plain[round(up * 300)] == 1.0


@st.composite
def phases(draw: st.DrawFn) -> LRSchedule:
    share = st.floats(0.02, 0.9)
    shape = draw(st.sampled_from(["linear", "1-sqrt", "cosine"]))
    minimum, warmup = draw(st.floats(0, 1)), 300 * draw(share)
    if draw(st.booleans()):
        decay = draw(st.floats(0.02, 1)) * (300 - warmup)
        return WSD(warmup=warmup, decay=decay, decay_shape=shape, minimum=minimum)
    rise = draw(st.sampled_from(["linear", "geometric", "cosine"]))
    return OneCycle(up=draw(share), warmup_shape=rise, decay_shape=shape, minimum=minimum)


@settings(max_examples=100, deadline=None)
@given(phases())
def test_phases_meet_rise_once_and_end_at_their_minimum(schedule: Any) -> None:
    joints = [schedule.warmup_length(at(0))]
    if isinstance(schedule, WSD):
        joints.append(300 - schedule.decay)

    def f(t: float) -> float:
        return schedule.factor(Clock(0, t, N, 30 * N, 300))  # type: ignore[arg-type]

    for joint in joints:
        near = 1e-9 * 300
        assert f(joint - near) == pytest.approx(f(joint), abs=1e-3 if schedule.decay_shape == "1-sqrt" else 1e-6)
        assert f(joint + near) == pytest.approx(f(joint), abs=1e-3 if schedule.decay_shape == "1-sqrt" else 1e-6)
    times = np.linspace(0, 300, 301)
    factors = np.array([f(t) for t in times])
    assert (factors >= 0).all()
    assert factors.max() <= schedule.peak
    before = times <= joints[0]
    assert (np.diff(factors[before]) >= -1e-12).all()
    assert (np.diff(factors[~before]) <= 1e-12).all()
    assert f(300) == pytest.approx(schedule.minimum, abs=1e-12) == f(400)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: StepDecay(gamma=0), "gamma"),
        (lambda: StepDecay(gamma=1.5), "growth grows"),
        (lambda: StepDecay(gamma=math.nan), "gamma=nan must be finite"),
        (lambda: StepDecay(milestones=[]), "milestones is empty"),
        (lambda: StepDecay(milestones=[20, 10]), "must rise"),
        (lambda: StepDecay(milestones=[-1]), "milestones=-1 must be positive"),
        (lambda: StepDecay(milestones=["1"]), "milestones='1' must be a number"),
        (lambda: StepDecay(milestones=[1], every=2), "null for the other"),
        (lambda: StepDecay(every=0), "every"),
        (lambda: WSD(decay=0), "decay"),
        (lambda: WSD(decay=math.inf), "decay=inf must be finite"),
        (lambda: WSD(decay_shape="sqrt"), "1-sqrt"),
        (lambda: WSD(decay=290, warmup=20).factor(at(0 + 20)), "shorten decay or train longer"),
        (lambda: OneCycle(up=1.0), "between 0 and 1"),
        (lambda: OneCycle(up="a"), "up='a' must be a number"),
        (lambda: OneCycle(minimum=2.0), "minimum"),
        (lambda: OneCycle(warmup_shape="steep"), "linear, geometric or cosine"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_a_cosine_warm_up() -> None:
    made = Linear(warmup=30, warmup_from=0.2, peak=1.4, warmup_shape="cosine")
    t = np.arange(30)
    assert path(made)[:30] == pytest.approx(0.2 + 1.2 * (1 - np.cos(np.pi * t / 30)) / 2)
    stairs = path(Linear(warmup=30, warmup_stairs=3, warmup_shape="cosine"))
    assert stairs[:30:10] == pytest.approx([0, 0.5, 1])


TORCHS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "step": lambda o: theirs.StepLR(o, 7),
    "multistep": lambda o: theirs.MultiStepLR(o, [3, 9]),
    "cosine": lambda o: theirs.CosineAnnealingLR(o, T_max=30, eta_min=0.01),
    "one cycle": lambda o: theirs.OneCycleLR(o, 2.0, total_steps=300, cycle_momentum=False),
    "exponential": lambda o: theirs.ExponentialLR(o, 0.9),
    "restarts": lambda o: theirs.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2),
    "lambda": lambda o: theirs.LambdaLR(o, lambda n: 1 / (1 + n)),
    "polynomial": lambda o: theirs.PolynomialLR(o, 20, 2.0),
    "cyclic": lambda o: theirs.CyclicLR(o, 0.1, 1.0, 4, cycle_momentum=False),
    "sequential": lambda o: theirs.SequentialLR(
        o, [theirs.LinearLR(o, 0.1, total_iters=5), theirs.CosineAnnealingLR(o, 25)], [5]
    ),
    "chained": lambda o: theirs.ChainedScheduler([theirs.LinearLR(o, 0.1), theirs.ExponentialLR(o, 0.9)]),
}
every_scheduler = pytest.mark.parametrize("make", TORCHS.values(), ids=TORCHS)


@every_scheduler
def test_torchs_schedulers_are_stepped_on_the_clock(make: Callable[[torch.optim.Optimizer], Any]) -> None:
    expected = torchs(make, 300)
    assert path(OfTorch(lambda o, _: make(o), "steps")) == expected
    assert path(OfTorch(lambda o, _: make(o), "epochs")) == list(
        itertools.chain.from_iterable([rate] * PER_EPOCH for rate in expected[:30])
    )


@every_scheduler
def test_a_scheduler_gives_the_same_wherever_it_is_asked_first(make: Callable[[torch.optim.Optimizer], Any]) -> None:
    """As a resumed run asks, and a validation, which looks at the end first."""
    whole = OfTorch(lambda o, _: make(o), "steps")
    expected = path(whole)
    resumed = OfTorch(lambda o, _: make(o), "steps")
    for t in (299, 150, 0, 151, 298):
        assert resumed.factor(at(t)) == whole.factor(at(t)) == expected[t]


def test_a_scheduler_is_stepped_once_for_each_step() -> None:
    class Counting(theirs.ExponentialLR):
        steps = 0

        def step(self, epoch: int | None = None) -> None:
            type(self).steps += 1
            super().step(epoch)

    schedule = OfTorch(lambda o, _: Counting(o, 0.99), "steps")
    Counting.steps = 0
    path(schedule)
    path(schedule)
    assert Counting.steps == 1 + 299, "one when it is made"
    path(schedule, epochs=10)
    assert Counting.steps == 300 + 1 + 99, "another budget, another schedule"


def test_schedulers_that_do_more_than_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="listens to a metric"):
        OfTorch(lambda o, _: theirs.ReduceLROnPlateau(o), "epochs").factor(at(0))
    for make in (lambda o, c: theirs.OneCycleLR(o, 1.0, c.total_steps), lambda o, _: theirs.CyclicLR(o, 0.1, 1.0)):
        with pytest.raises(ValueError, match="cycles the momentum too"):
            OfTorch(make, "steps").factor(at(0))
    with pytest.raises(ValueError, match="choose steps or epochs"):
        OfTorch(lambda o, _: theirs.StepLR(o, 1), "samples")  # type: ignore[arg-type]
    short = OfTorch(lambda o, _: theirs.OneCycleLR(o, 1.0, 20, cycle_momentum=False), "steps")
    assert short.factor(at(19)) > 0
    with pytest.raises(ValueError, match="Tried to step 21"):
        short.factor(at(299))
