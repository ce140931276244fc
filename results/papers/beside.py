"""A published number and ours, side by side: how far apart they are, in units of our spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import Summary, summarize
from batchlab.results.show.sheet import decimals, number, uncertain
from batchlab.results.store.run import State
from batchlab.results.words import count, listing

ENOUGH = 3
"""With fewer seeds there is no spread to count in: of two, one in three standard deviations is off by a factor of 3."""
CONFIDENCE = 0.95
AT_ALL = 1e-9
"""A spread below this share of the mean is rounding."""


@dataclass(frozen=True)
class Ours:
    """What we measured where a number was published.

    Attributes:
        values: One a seed, in the unit of the published number.
        lost: Runs that began and have no number: diverged, failed, not over, or never at the target.
        log: Spans orders of magnitude: the mean is geometric, and logarithms are compared.
    """

    values: tuple[float, ...]
    lost: int = 0
    log: bool = False

    @property
    def summary(self) -> Summary:
        """Over seeds, of logarithms where those are compared."""
        return summarize([math.log(value) for value in self.values] if self.log else list(self.values))

    @property
    def mean(self) -> float:
        """Over seeds, in the unit of the published number; NaN without any."""
        return math.exp(self.summary.mean) if self.log else self.summary.mean

    @property
    def text(self) -> str:
        """`61.20 ± 0.45`, `0.0123 ×÷ 1.08`, and how many runs were lost."""
        summary, lost = self.summary, f" † {self.lost} not done" if self.lost else ""
        if not summary.n:
            return f"–{lost}"
        if not self.log:
            return uncertain(summary.mean, summary.std if self._spread else math.nan) + lost
        factor = f" ×÷ {math.exp(summary.std):.3g}" if self._spread else ""
        return f"{number(self.mean, decimals(math.nan, self.mean) - 1)}{factor}{lost}"

    @property
    def _spread(self) -> bool:
        """Whether seeds differ at all."""
        summary = self.summary
        return summary.n > 1 and summary.std > AT_ALL * (1.0 if self.log else abs(summary.mean))

    def apart(self, published: float) -> float:
        """Ours less the published number, in our standard deviations; NaN where there is no spread to count in."""
        if self.summary.n < ENOUGH or not self._spread or (self.log and published <= 0):
            return math.nan
        theirs = math.log(published) if self.log else published
        return (self.summary.mean - theirs) / self.summary.std

    def distance(self, published: float) -> str:
        """The same as text: `-72 sd`, `n 2: too few`, `no spread`; empty where we have no number."""
        n, apart = self.summary.n, self.apart(published)
        if not n:
            return ""
        if n < ENOUGH:
            return f"n {n}: too few"
        if math.isnan(apart):
            return "no spread"
        return f"{apart:+,.0f} sd" if abs(apart) >= 10 else f"{apart:+.1f} sd"

    def beside(self, published: float) -> str:
        """What stands beneath a published number: `ours 61.20 ± 0.45, -72 sd`."""
        return ", ".join(filter(None, (f"ours {self.text}", self.distance(published))))

    def record(self, published: float) -> dict[str, Any]:
        """The same for machines; `sd` is of logarithms where `log`."""
        summary = self.summary
        return {
            "ours": self.mean, "ours_n": summary.n, "ours_sd": summary.std, "ours_log": self.log,
            "ours_lost": self.lost, "apart_sd": self.apart(published),
        }  # fmt: skip


def ours_of(part: Frame, metric: Metric) -> Ours | None:
    """What runs came to, one number a seed; None where there are no such runs.

    Args:
        part: The runs that a published number is about, in any state.
        metric: Its metric.
    """
    if not part.runs:
        return None
    done = part.select(lambda run: run.state is State.DONE)
    begun = sum(run.state is not State.PENDING for run in part.runs)
    metric = metric.of(part)
    scale, log = metric.quantity.scale, metric.quantity.log
    if not done.runs or metric.name not in part.names:
        return Ours((), begun, log)
    by_seed: dict[Any, list[float]] = {}
    for run, value in zip(done.runs, metric.measure(done).values, strict=True):
        if math.isfinite(value) and (value > 0 or not log):
            by_seed.setdefault(run.value("seed"), []).append(scale * float(value))
    found = sum(map(len, by_seed.values()))
    return Ours(tuple(float(np.mean(own)) for own in by_seed.values()), begun - found, log)


def known_to(n: int) -> tuple[float, float]:
    """Between which factors of itself a standard deviation over n seeds lies with 95 % (normal values).

    >>> [round(factor, 2) for factor in known_to(3)]
    [0.52, 6.28]
    """
    from scipy.special import chdtri

    df, tail = n - 1, (1 - CONFIDENCE) / 2
    return math.sqrt(df / float(chdtri(df, tail))), math.sqrt(df / float(chdtri(df, 1 - tail)))


def notes_beside(all_ours: Iterable[Ours | None], why: str) -> list[str]:
    """How to read a published number beside ours, and why they may differ.

    Args:
        all_ours: What stands beside published numbers, None where nothing does.
        why: They may differ.

    Returns:
        Nothing where nothing stands beside.
    """
    seeds = sorted({len(ours.values) for ours in all_ours if ours is not None and ours.values})
    if not seeds:
        return []
    enough = [n for n in seeds if n >= ENOUGH]
    how = (
        "sd: ours less the published number, in our standard deviations over seeds (of the logarithms of "
        "what spans orders of magnitude); the published spread is not known to us"
    )
    if enough:
        low, high = known_to(enough[0])
        how += (
            f". From n = {enough[0]} a standard deviation is itself known only to a factor of {low:.2g} to {high:.2g}"
        )
    return [how, f"why they may differ: {why}"]


def other_scale(published: str, frame: Frame) -> str:
    """The usual reason why a published number and ours differ.

    Args:
        published: What the published number is of: data, network, budget.
        frame: The runs that ours is of.
    """
    return f"scale before all. Published: {published}. Ours: {setting(frame)}"


def setting(frame: Frame) -> str:
    """What runs were trained on, in a few words: data and how much of it, network and budget, as often as these differ.

    >>> from batchlab.results.compare.derived import numbers
    >>> config = {"dataset": {"name": "cifar10", "subset": 10000}, "train": {"epochs": 15.0}}
    >>> run = RunRow("a", State.DONE, None, {}, config | {"model": {"name": "resnet8", "width": 16}}, {}, {})
    >>> setting(Frame([run], numbers(()).table, frozenset(), []))
    'cifar10 (10,000 training images), resnet8 of width 16, 15 epochs'
    """
    found = dict.fromkeys((data_text(run), model_text(run), budget_text(run)) for run in frame.runs)
    budgets: dict[tuple[str, str], dict[str, None]] = {}
    for data, model, budget in found:
        budgets.setdefault((data, model), {})[budget] = None
    said = [", ".join(filter(None, (*what, listing(list(filter(None, own)))))) for what, own in budgets.items()]
    return "; ".join(filter(None, said))


def data_text(run: RunRow) -> str:
    """The data set, and how much of it where that is not all."""
    name, parts = run.value("dataset"), []
    for key, what in (("dataset.subset", "training"), ("dataset.test_subset", "test")):
        samples = run.value(key)
        if isinstance(samples, int):
            parts.append(f"{samples:,} {what} {'images' if str(name).startswith('cifar') else 'samples'}")
    return "" if name == MISSING else f"{name} ({listing(parts)})" if parts else str(name)


def model_text(run: RunRow) -> str:
    """The network, its width where that can be chosen, and its norm layers where those are not of batches."""
    name, width, norm = (run.value(key) for key in ("model", "model.width", "model.norm"))
    if name == MISSING:
        return ""
    return f"{name}{f' of width {width}' if width != MISSING else ''}{' with GroupNorm' if norm == 'group' else ''}"


def budget_text(run: RunRow) -> str:
    """How long it trains: samples where those are set, else epochs."""
    samples, epochs = run.value("train.samples"), run.value("train.epochs")
    if isinstance(samples, (int, float)):
        return count(int(samples), "sample")
    return f"{epochs:g} epoch{'s' if epochs != 1 else ''}" if isinstance(epochs, (int, float)) else ""
