"""`batchlab compare`: contenders tuned alike on seeds that judge nothing, then paired seeds until it is decided.

Every combination of the choices is a contender. With `--tune` each is trained at every value, at full length, on the
tuning seeds, and a validation metric chooses; the judged runs are of the same configuration (the validation split is
set apart there too) and of other seeds.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import TUNING
from batchlab.results.compare.contest import LABEL, TIES, Contest, result_of
from batchlab.results.compare.decide import Plan
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import Quantity
from batchlab.results.compare.smallest import Smallest
from batchlab.results.show.answer import sentence
from batchlab.results.show.contest_sheet import contest_sheets
from batchlab.results.show.render import print_sheets
from batchlab.results.store import parquet
from batchlab.results.store.runs import UNASKED, Asked, RunStore
from batchlab.results.words import count, duration, told
from batchlab.runner.before import look
from batchlab.runner.console import OUT, busy
from batchlab.runner.display import Display
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.looks import Question, decided, describe, settled, standing_plan
from batchlab.runner.options import Deciding, GridOptions, SweepOptions
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.measured import check_measured
from batchlab.runner.plan.measured import declared as declared_of
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.stale import Staleness
from batchlab.runner.training import import_torch
from batchlab.runner.waiting import grouping

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


def compare(
    compared: Compared, runs: Path, options: SweepOptions, deciding: Deciding, name: str | None, asked: Asked = UNASKED
) -> int:
    """Tune, judge in looks, and print who is better: what `batchlab compare` does.

    Args:
        compared: What to compare.
        runs: The folder that holds all runs.
        options: How to go about training.
        deciding: How far to go.
        name: Of its sweep; None: made of the request, so that the same request goes on.
        asked: The command that asks for it.

    Returns:
        The exit code.

    Raises:
        ValueError: The name is that of a sweep which is no comparison.
    """
    sweep = name or f"compare-{compared.digest[:6]}"
    store = RunStore(runs)
    if sweep in store.sweeps() and store.plan(sweep) is None:  # it would take the name, and that grid would lose it
        raise ValueError(f"there is a sweep {sweep}, which is no comparison: give this one another --name")
    compared = compared.called(store.plan(sweep))
    if options.dry_run:
        return _dry_run(compared, compared.question(sweep), store, options, deciding)
    question = replace(compared.question(sweep), asked=asked)
    code, begun = decided(question, runs, options, deciding, compared.usual)
    if not begun:
        return code
    result = result_of(store, sweep)
    assert result is not None
    print_sheets(contest_sheets(result))
    OUT.print(sentence(result), style="bold")
    return code or int(result.unmeasured)


def _dry_run(compared: Compared, question: Question, store: RunStore, options: SweepOptions, deciding: Deciding) -> int:
    """Say how many runs it takes at least and at most, how many of them are done, and about how long the rest takes."""
    from batchlab.runner.training import check, checking

    executor = executor_for([plan.tree for plan in compared.plans], options.jobs_per_device, options.fuse)
    with busy(checking(compared.plans), logged=False):
        check(compared.plans)
    standing = standing_plan(store, question)
    plan = standing or question.plan(deciding.max_seeds, deciding.smallest, compared.usual)
    tuning = len(question.tuning)
    least, most = (tuning + compared.contenders * n for n in (plan.looks.seeds[0], plan.looks.seeds[-1]))
    for contender in compared.contest.contenders:
        OUT.print(contender)
    chosen = f", of which {tuning} choose {', '.join(compared.contest.keys)}" if tuning else ""
    runs = count(most, "run") if least == most else f"{least} to {count(most, 'run')}"
    declared = f"declared {plan.declared}: " if standing else ""
    OUT.print(f"{declared}{describe(plan)}: {runs}{chosen}", style="bold")
    done, least, most = _to_go(question, plan, store, options, declared=standing is not None)
    if most:
        with busy(f"trying {STEPS} steps of each model", logged=False):
            about = _about(compared, least, most, executor.places)
        OUT.print(about)
    first = question.tuning or question.at(plan.seeds[: plan.looks.seeds[0]])
    if len((before := look(first, store, Staleness(store, options), options)).left) > 1:
        OUT.print(f"of the first: {grouping(before, executor, options)}")
    left = f"{least:,} to go" if least == most else f"{least:,} to {most:,} to go"
    there = f": {done:,} done already, {left}" if done else ""
    OUT.print(f"all valid{there}; nothing was started", style="bold")
    return 0


def _to_go(
    question: Question, plan: Plan, store: RunStore, options: SweepOptions, *, declared: bool
) -> tuple[int, int, int]:
    """How many runs that are asked for are done, and how many are to be trained, at least and at most.

    A contender is judged at one of its values: where one that was tried is done at a seed, that seed is taken as done.
    """
    staleness = Staleness(store, options)

    def over(planned: Planned) -> bool:
        return staleness.finished(planned, store.run(planned.run_id).read_state())

    def cells(planned: Sequence[Planned]) -> set[tuple[object, object]]:
        return {(one.labels[LABEL], one.tree["seed"]) for one in planned}

    tuned = sum(map(over, question.tuning))
    untuned = len(question.tuning) - tuned
    wanted = [question.at(plan.seeds[:n]) for n in (plan.looks.seeds[0], plan.looks.seeds[-1])]
    judged = [cells([one for one in these if over(one)]) for these in wanted]
    least, most = (untuned + len(cells(these) - there) for these, there in zip(wanted, judged, strict=True))
    if declared and not untuned and not staleness.found and settled(store, question, plan):
        least = most = 0
    return tuned + len(judged[-1]), least, most


def _about(compared: Compared, least: int, most: int, places: int) -> str:
    """About how long it takes, from a few steps of each model."""
    models: dict[str, list[Planned]] = {}
    for plan in compared.plans:
        models.setdefault(json.dumps(plan.tree["model"], sort_keys=True), []).append(plan)
    tried = [(_seconds(plans[0]), len(plans)) for plans in models.values()]
    if any(seconds is None for seconds, _ in tried):
        return "how long it takes is not known: the steps that were tried failed"
    mean = sum((seconds or 0.0) * n for seconds, n in tried) / sum(n for _, n in tried)
    low, high = (duration(n * mean / places) for n in (least, most))
    span = low if least == most else f"{low} to {high}"
    at_once = f"{places} at a time" if places > 1 else "one at a time"
    return f"about {span}, {at_once}: from {STEPS} steps of {count(len(models), 'model')}, just tried"


STEPS = 20
"""So many are tried to say about how long runs take."""
START = 1.0
"""Seconds until a run of a warm process begins."""


def _seconds(plan: Planned) -> float | None:
    """About how long a run takes, from a few steps of it in a folder that is thrown away; None where that failed."""
    from batchlab.runner.plan.identity import run_id
    from batchlab.runner.plan.schema import RunConfig
    from batchlab.runner.sweep import freeze, run_sweep

    config = RunConfig.of(plan.tree)
    schedule, log = plan.tree["batch_schedule"], plan.tree["log"]
    size = next((schedule[key] for key in ("size", "initial") if isinstance(schedule.get(key), int)), 1)
    train = plan.tree["train"] | {"samples": STEPS * size}
    tried = plan.tree | {"train": train, "log": log | {"evaluate_every": 1e6, "evaluations": None}}
    with TemporaryDirectory() as folder:
        store, trial = RunStore(Path(folder)), replace(plan, run_id=run_id(tried), tree=tried)
        executor = executor_for([tried])
        freeze(store, "trial", [trial])
        run_sweep([trial], store, executor, Display(Console(file=io.StringIO()), live=False))
        executor.close()
        run = store.run(trial.run_id)
        try:
            row = parquet.read(run.metrics).to_pylist()[-1]
        except OSError:
            return None
    epoch = float(row["samples"] / row["epoch"])
    epochs = config.train.samples / epoch if config.train.samples else config.train.epochs
    evaluations = config.log.evaluations or max(1.0, epochs / config.log.evaluate_every)
    pace = float(row["train_seconds"] / row["epoch"])
    return START + pace * epochs + float(row.get("eval_seconds") or 0.0) * evaluations
