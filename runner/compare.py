"""`batchlab compare`: train in looks until it is decided, and say who is better; or only how long that would take."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from batchlab.results.compare.contest import LABEL, result_of
from batchlab.results.compare.decide import Plan
from batchlab.results.show.answer import sentence
from batchlab.results.show.contest_sheet import contest_sheets
from batchlab.results.show.render import print_sheets
from batchlab.results.store import parquet
from batchlab.results.store.runs import UNASKED, Asked, RunStore
from batchlab.results.words import count, duration
from batchlab.runner.before import look
from batchlab.runner.console import OUT, busy
from batchlab.runner.contenders import Compared
from batchlab.runner.display import Display
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.looks import Question, decided, describe, settled, standing_plan
from batchlab.runner.options import Deciding, SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.stale import Staleness
from batchlab.runner.waiting import grouping


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
