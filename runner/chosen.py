"""A recipe of which only what claims compare is judged: what chooses is trained first, then what it chose.

So of a grid of learning rates each judged seed costs one run a method, not one for each rate. The judged runs
train each in a process of its own unless `--fuse` says otherwise: their times are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from batchlab.results.compare.decide import behind
from batchlab.results.compare.outcomes import LOST_STATES
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count
from batchlab.runner.console import OUT
from batchlab.runner.looks import Question, frame_of
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.seeds import tunes
from batchlab.runner.training import Training


def alone(options: SweepOptions, plans: Sequence[Planned]) -> SweepOptions:
    """The same options for runs whose times are compared; an engine that knows no groups trains each alone anyway."""
    if options.fuse is not None or "fuse" not in plans[0].tree["executor"]:
        return options
    return replace(options, fuse="off")


def train_chosen(question: Question, runs: Path, options: SweepOptions) -> int:
    """Train what chooses, then what was chosen, at the recipe's own seeds.

    Args:
        question: The claims, and the runs that could be compared for them.
        runs: The folder that holds all runs.
        options: How to go about it.

    Returns:
        The exit code: of the first part that did not go well, the judged runs are not begun while what chooses could
        still choose otherwise.

    Raises:
        ConfigError: A run that cannot work.
    """
    store, name = RunStore(runs), question.sweep
    known = [entry.run_id for entry in store.sweep(name).entries] if name in store.sweeps() else []
    judged = [
        planned for planned in question.plans if planned.run_id in set(known) - {p.run_id for p in question.tuning}
    ]
    with Training(question.plans, runs, options) as training:
        report = training.train(
            question.tuning, name, [*question.tuning, *judged], notes=question.notes, asked=question.asked
        )
    code = report.exit_code
    if report.closed or code == 130 or any(_goes_on(store, planned) for planned in question.tuning):
        OUT.print("nothing is judged until all that chooses is over: the same command goes on")
        return code
    wanted = chosen(store, question)
    said = f"judged now, at the chosen values, each in a process of its own: {count(len(wanted), 'run')}"
    OUT.print(Text(said if options.fuse is None else said.replace(", each in a process of its own", "")))
    with Training(question.plans, runs, alone(options, question.plans)) as training:
        report = training.train(wanted, name, [*question.tuning, *wanted], notes=question.notes, asked=question.asked)
    return report.exit_code if report.exit_code == 130 else max(code, report.exit_code)


def judged_later(question: Question) -> str:
    """How many runs will be judged, in words: of a method that is tried at several values one at each seed."""
    number = methods(question)
    seeds = {one.tree["seed"] for one in question.plans if not tunes(one)}
    return (
        f"these choose; then {count(number, 'method')} at {count(len(seeds), 'seed')} are judged, at the chosen "
        f"values, each run in a process of its own: {number * len(seeds):,} more"
    )


def methods(question: Question) -> int:
    """How many methods there are, at whatever values they are tried: labels and optimizers."""
    others = (planned for planned in question.plans if not tunes(planned))
    return len({repr((sorted(one.labels.items()), one.tree["optimizer"]["name"])) for one in others})


def chosen(store: RunStore, question: Question) -> list[Planned]:
    """The judged runs that some claim compares, once what chooses is over."""
    plans = {planned.run_id: planned for planned in question.plans}
    frame = frame_of(store, question.sweep, plans)
    asked = frozenset().union(*(behind(item.runs) for item in question.measure(frame)))
    tuning = {planned.run_id for planned in question.tuning}
    return [planned for run_id, planned in plans.items() if run_id in asked - tuning]


def _goes_on(store: RunStore, planned: Planned) -> bool:
    return store.run(planned.run_id).read_state().state not in (State.DONE, *LOST_STATES)
