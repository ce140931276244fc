"""What is compared: contenders tuned alike on seeds that judge nothing, then paired seeds until it is decided.

Every combination of the choices is a contender. With `--tune` each is trained at every value, at full length, on the
tuning seeds, and a validation metric chooses; the judged runs are of the same configuration (the validation split is
set apart there too) and of other seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import TUNING
from batchlab.results.compare.contest import LABEL, TIES, Contest
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import Quantity
from batchlab.results.compare.smallest import Smallest
from batchlab.results.words import told
from batchlab.runner.looks import Question
from batchlab.runner.options import GridOptions
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.measured import check_measured
from batchlab.runner.plan.measured import declared as declared_of
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.training import import_torch

TUNING_SEEDS = (101, 102)
VALIDATION = "dataset.validation=0.1"


@dataclass(frozen=True)
class Compared:
    """What is to be compared, and the runs it takes."""

    contest: Contest
    plans: list[Planned]
    usual: Smallest

    @property
    def digest(self) -> str:
        """Of what is asked: the same request has the same, another one another, whatever both are called."""
        ids = " ".join([self.contest.metric, *(plan.run_id for plan in self.plans)])
        return hashlib.sha256(ids.encode()).hexdigest()

    @property
    def contenders(self) -> int:
        """How many there are."""
        return len(self.contest.contenders)

    def called(self, declared: Mapping[str, Any] | None) -> Compared:
        """The same under the names that the contenders were declared with, when numbers were written otherwise.

        Args:
            declared: What stands of the sweep; None: nothing.
        """
        if declared is None or declared.get("asked") != self.digest:
            return self
        contest = Contest.of(declared["contest"])
        names = dict(zip(self.contest.contenders, contest.contenders, strict=True))
        plans = [replace(one, labels=one.labels | {LABEL: names[one.labels[LABEL]]}) for one in self.plans]
        return replace(self, contest=replace(self.contest, contenders=contest.contenders), plans=plans)

    def question(self, sweep: str) -> Question:
        """What the engine is asked."""
        record = {"contest": self.contest.record(), "asked": self.digest}
        return Question(sweep, self.plans, self.contest.measure, record)


def planned(overrides: Sequence[str], tune: Sequence[str], metric: str, options: GridOptions | None = None) -> Compared:
    """Compose the contenders, each at every value that is tried.

    Args:
        overrides: Of all contenders, in Hydra's grammar; what has several values makes contenders.
        tune: `KEY=VALUE,VALUE`, tried for each contender, or `KEY@CHOICE=VALUE,VALUE` for those with this choice.
        metric: What is judged.
        options: What is zipped, left out or drawn, of contenders and of what is tried.

    Raises:
        ConfigError: Fewer than two contenders, a seed, a key that is tuned and compared, what does not compose, or
            contenders with unequal numbers of values to choose from.
        ValueError: A metric that cannot be read, or is neither better up nor down.
    """
    keys = _check(overrides, tune)
    judged = Metric.parse(metric)
    if tune and "dataset.validation" not in map(_key, overrides):
        overrides = [*overrides, VALIDATION]
    base = _contending([*overrides, *tune, "seed=0"], keys, {}, options)
    import_torch()  # measures do
    trees = [one.tree for one in base]
    check_measured(judged.name, trees)
    declared = declared_of(trees)
    judged = replace(judged, declared=declared.get(judged.name))
    if judged.column.better is None:
        raise ValueError(
            f"--metric {metric}: nothing says whether more of it is better or less; of test_accuracy, test_loss and "
            "train_loss it is known, and of what a +measure declares"
        )
    names = _check_contenders(base, keys)
    plans = list(base)
    if tune:
        seeds = f"seed={','.join(map(str, TUNING_SEEDS))}"
        plans = (
            _contending([*overrides, *tune, seeds], keys, {TUNING: True}, options) + plans
        )  # what chooses comes first
    chooser = _chooser(judged, declared) if tune else ""
    return Compared(Contest(tuple(names), metric, tuple(keys), chooser), plans, _usual(judged))


def _chooser(judged: Metric, declared: Mapping[str, Quantity]) -> str:
    """What chooses tuned values: the same of the validation split, as what judges is of data that must not choose.

    Of a column of the user's own that is called neither `test_` nor `train_` nobody knows whether it is of other data
    than the test split's: without a `validation_` of the same name beside it, the loss chooses.

    Args:
        judged: What is judged.
        declared: What the measures say of their columns.
    """
    name = judged.name.replace("test_", "validation_", 1)
    if f"validation_{name}" in declared:
        name = f"validation_{name}"
    elif name == judged.name and judged.declared is not None and not name.startswith("train_"):
        return str(TIES)
    return str(replace(judged, name=name))


def _contending(
    overrides: Sequence[str], keys: Sequence[str], labels: dict[str, Any], options: GridOptions | None
) -> list[Planned]:
    """The runs of all contenders, each with its contender's name as a label.

    Args:
        overrides: Of contenders, of what is tried, and a seed.
        keys: What is tried: no part of a contender.
        labels: Further ones of each run.
        options: What is zipped, left out or drawn.
    """
    found = []
    for one in compose(overrides, options=options):
        tried = tuple(text for text in one.overrides if _key(text) in (*keys, "seed"))
        name = _name([text for text in one.overrides if text not in tried])
        found.append(replace(one, overrides=tried, labels=labels | {LABEL: name}))
    return found


def _usual(metric: Metric) -> Smallest:
    """Half a point of what is shown in %, 5 % where ratios are compared; of anything else only the user knows."""
    if metric.quantity.log:
        return Smallest(share=0.05)
    return Smallest(difference=0.5) if metric.quantity.share else Smallest()


def _check_contenders(base: Sequence[Planned], keys: Sequence[str]) -> list[str]:
    """The names of the contenders.

    Args:
        base: Runs of theirs, one for each value that is tried.
        keys: What is tuned.

    Raises:
        ConfigError: What could only end without an answer, or with one to another question.
    """
    tried = Counter(str(one.labels[LABEL]) for one in base)
    if len(tried) < 2:
        raise ConfigError("one contender: give an axis several values, such as optimizer=adamw,shb")
    trees = [one.tree for one in base]
    if len({json.dumps(tree["dataset"], sort_keys=True) for tree in trees}) > 1:
        raise ConfigError("contenders on different data cannot be compared: one dataset, with one set of keys")
    if keys and not trees[0]["dataset"].get("validation"):
        raise ConfigError("--tune chooses by a validation split: dataset.validation=0.1, not 0")
    if len({*tried.values()}) > 1:
        told = ", ".join(f"{name} {n}" for name, n in tried.items())
        raise ConfigError(f"--tune {', '.join(keys)}: a fair choice is from as many values for each contender: {told}")
    return list(tried)


def _check(overrides: Sequence[str], tune: Sequence[str]) -> list[str]:
    """The keys that are tuned.

    Raises:
        ConfigError: One of them, or a seed, is given as something else too.
    """
    given = {_key(text) for text in overrides}
    if "seed" in given:
        raise ConfigError("seed=...: seeds come in looks here; --max-seeds says how many at most")
    scoped = [text.partition("=")[0] for text in tune]
    for text, key in zip(tune, map(_key, tune), strict=True):
        if not key or "," not in text.partition("=")[2]:
            raise ConfigError(f"--tune {text}: it takes KEY=VALUE,VALUE")
        if key in given or key in CHOICES or key == "seed" or scoped.count(text.partition("=")[0]) > 1:
            raise ConfigError(f"--tune {key}: give it once, and not as a choice or an override too")
    return list(dict.fromkeys(map(_key, tune)))


def _key(text: str) -> str:
    """The key of an override, without the choice that it is for."""
    return text.lstrip("+~").partition("=")[0].partition("@")[0]


def _name(overrides: Sequence[str]) -> str:
    """What sets a contender apart: choices by their names, values with the ends of their keys."""
    parts = []
    for text in overrides:
        key, _, value = told(text).lstrip("+~").partition("=")
        parts.append(value if key in CHOICES else f"{key.rpartition('.')[2]} {value}")
    return " · ".join(parts)
