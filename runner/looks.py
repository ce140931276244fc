"""Seeds are bought where they can still decide: looks, and between them the runs that open claims ask for.

The engine of `reproduce --until-decided` and of `compare`. What it needs to know is which runs choose (label `tuning`),
which are judged, and a function that judges all claims on the runs there are; which runs a claim compares it learns
from what that function returns, so that of a tuned grid only the chosen values get more seeds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from batchlab.results.compare.claims import Judged
from batchlab.results.compare.decide import Measure, Plan, decide
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.load import load
from batchlab.results.compare.outcomes import LOST_STATES
from batchlab.results.compare.sequential import LOOKS, Looks
from batchlab.results.compare.smallest import Smallest
from batchlab.results.show.standing import standing_grid, standing_lines
from batchlab.results.store.run import FINISHED, State, now
from batchlab.results.store.runs import UNASKED, Asked, RunStore
from batchlab.results.words import count
from batchlab.runner.console import OUT
from batchlab.runner.display import Display
from batchlab.runner.options import Deciding, SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.seeds import at_seeds, judged_seeds, tunes
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze
from batchlab.runner.training import Training


@dataclass(frozen=True)
class Question:
    """Claims about the runs of a sweep.

    Attributes:
        sweep: Its name.
        plans: The runs that tune, and those that are judged, each at one seed at least.
        measure: Judges the claims.
        record: What is kept beside the plan, and has to be the same where one stands.
        notes: What is said of the sweep.
        asked: The command that asks for it.
    """

    sweep: str
    plans: list[Planned]
    measure: Measure
    record: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    asked: Asked = UNASKED

    @property
    def tuning(self) -> list[Planned]:
        """The runs that choose for the others."""
        return [planned for planned in self.plans if tunes(planned)]

    def at(self, seeds: Sequence[int]) -> list[Planned]:
        """The runs that may be judged, at these seeds."""
        return at_seeds([planned for planned in self.plans if not tunes(planned)], seeds)

    def plan(self, most: int | None, smallest: Sequence[str] | None, usual: Smallest) -> Plan:
        """What is asked for.

        Args:
            most: Seeds at the last look; None: the usual.
            smallest: The smallest effects of interest as texts; None: not said.
            usual: Those where nothing is said.

        Raises:
            ValueError: Effects that cannot be read.
        """
        looks = Looks().until(most or LOOKS[-1])
        effects = usual if smallest is None else Smallest.parse(smallest)
        return Plan(looks, judged_seeds(self.plans, looks.seeds[-1]), effects)


def standing_plan(store: RunStore, question: Question) -> Plan | None:
    """The plan that was declared for a sweep; None where there is none.

    Raises:
        ValueError: It is about something else.
    """
    standing = store.plan(question.sweep)
    if standing is None:
        return None
    if any(standing.get(key) != json.loads(json.dumps(value)) for key, value in question.record.items()):
        raise ValueError(
            f"the sweep {question.sweep} asks something else (other contenders, values, settings or metric): give this "
            "one another --name"
        )
    return Plan.of(standing)


def declare(store: RunStore, question: Question, deciding: Deciding, usual: Smallest) -> tuple[Plan, str]:
    """Write the plan beside the sweep before its first look; one that stands there stays.

    Args:
        store: Where runs are kept.
        question: What is asked.
        deciding: What the user asks for.
        usual: The smallest effects of interest where the user names none.

    Returns:
        The plan that holds, and what to tell the user about it.

    Raises:
        ValueError: Effects that cannot be read, or a plan there that is about something else.
    """
    asked = question.plan(deciding.max_seeds, deciding.smallest, usual)
    plan = standing_plan(store, question)
    if plan is None:
        judged = question.at(asked.seeds)
        seen = sum(_finished(store, planned) for planned in judged)
        plan = replace(asked, declared=now(), seen=seen)
        store.declare(question.sweep, plan.record() | question.record)
        return plan, f"declared: {describe(plan)}"
    other = (deciding.max_seeds and asked.looks != plan.looks) or (
        deciding.smallest and asked.smallest != plan.smallest
    )
    said = f"declared {plan.declared}, before the first look: {describe(plan)}"
    return plan, f"{said}; this stands, not what was asked for now ({describe(asked)})" if other else said


def describe(plan: Plan) -> str:
    """Looks, smallest effects, and what was known when they were chosen, in words."""
    parts = [f"looks at {', '.join(map(str, plan.looks.seeds))} seeds"]
    if texts := plan.smallest.texts():
        parts.append(f"smallest effect {' and '.join(texts)}")
    if plan.seen:
        parts.append(f"{plan.seen} of its runs were done already")
    return ", ".join(parts)


def until_decided(
    training: Training,
    question: Question,
    plan: Plan,
    show: Callable[[list[Judged]], None],
    deadline: float = math.inf,
) -> tuple[list[Judged], Report]:
    """Tune, then buy seeds look by look for the claims that are open, until none is or the time is over.

    What was trained before is used; a stop at any time loses nothing. No seed is bought while a run that tunes is not
    over: it could change the choice after others were seen.

    Args:
        training: Trains; it has checked the plans.
        question: What is asked.
        plan: What was declared.
        show: Is told the standing before the first look and after each.
        deadline: See `run_sweep`.

    Returns:
        The standing of all claims, and how the last training went.
    """
    everything = {p.run_id: p for p in [*question.tuning, *question.at(plan.seeds)]}
    store, name = training.store, question.sweep
    known = {entry.run_id for entry in store.sweep(name).entries} if name in store.sweeps() else set()
    bought = {run_id for run_id in everything if run_id in known}
    again = [p for i, p in everything.items() if i in bought and training.options.retry and _failed(store, i)]
    again += [p for p in training.left([everything[i] for i in bought]) if _finished(store, p)]  # stale ones

    def train(wanted: Sequence[Planned]) -> Report:
        bought.update(p.run_id for p in wanted)
        among = [p for i, p in everything.items() if i in bought]
        if training.left(wanted):
            return training.train(wanted, name, among, deadline, notes=question.notes, asked=question.asked)
        freeze(store, name, [], among, notes=question.notes, asked=question.asked)
        return Report()

    report = train([*question.tuning, *again])
    untuned = any(store.run(p.run_id).read_state().state not in (State.DONE, *LOST_STATES) for p in question.tuning)
    wanted: frozenset[str] = frozenset()
    while True:
        judged = decide(frame_of(store, name, everything), question.measure, plan)
        show(judged)
        before, wanted = wanted, missing(judged)
        if not wanted or wanted == before or report.closed or untuned:
            return judged, report
        report = train([p for i, p in everything.items() if i in wanted])


def settled(store: RunStore, question: Question, plan: Plan) -> bool:
    """Whether every claim is decided by what was trained of the sweep.

    Args:
        store: Where runs are kept.
        question: What is asked; its sweep is there.
        plan: What was declared.
    """
    everything = {p.run_id: p for p in [*question.tuning, *question.at(plan.seeds)]}
    return not missing(decide(frame_of(store, question.sweep, everything), question.measure, plan))


def missing(judged: Sequence[Judged]) -> frozenset[str]:
    """The runs that the earliest look of an open claim needs."""
    needs = [(item.ruling.look, item.ruling.missing) for item in judged if item.ruling and item.ruling.missing]
    first = min((-1 if look is None else look for look, _ in needs), default=0)
    return frozenset().union(*(own for look, own in needs if (-1 if look is None else look) == first))


def _finished(store: RunStore, planned: Planned) -> bool:
    return store.run(planned.run_id).read_state().state in FINISHED


def _failed(store: RunStore, run_id: str) -> bool:
    return store.run(run_id).read_state().state is State.FAILED


def frame_of(store: RunStore, sweep: str, plans: dict[str, Planned]) -> Frame:
    """The runs of the sweep, and as pending those that could be bought: what may be compared, in the plans' order."""
    frame = load(store, sweep)
    there = {run.run_id: run for run in frame.runs}
    return replace(frame, runs=[_row(there.get(run_id), planned) for run_id, planned in plans.items()])


def _row(run: RunRow | None, planned: Planned) -> RunRow:
    """The run as it is there; one whose folder was deleted is to be trained again."""
    return run if run is not None and run.config else _pending(planned)


def _pending(planned: Planned) -> RunRow:
    overrides = dict(text.lstrip("+~").partition("=")[::2] for text in planned.overrides)
    return RunRow(planned.run_id, State.PENDING, None, {}, planned.tree, planned.labels, overrides)


def decided(
    question: Question, runs: Path, options: SweepOptions, deciding: Deciding, usual: Smallest
) -> tuple[int, bool]:
    """Train until the claims are decided, as a command.

    Args:
        question: What is asked.
        runs: The folder that holds all runs.
        options: How to go about training.
        deciding: How far to go.
        usual: The smallest effects of interest where the user names none.

    Returns:
        The exit code, and whether a run that is judged is over, so that there is something to show.

    Raises:
        ConfigError: A run that cannot work.
        ValueError: Smallest effects that cannot be read.
    """
    deadline = math.inf if deciding.max_minutes is None else time.monotonic() + 60 * deciding.max_minutes
    with Training(question.plans, runs, options) as training:
        training.ready(question.plans)  # a request that cannot work declares nothing
        plan, said = declare(training.store, question, deciding, usual)
        OUT.print(said)
        judged, report = until_decided(training, question, plan, partial(_show, training.display), deadline)
    begun = any(run.state in (State.DONE, *LOST_STATES) for item in judged for run in item.runs)
    if not begun:
        over = sum(_finished(training.store, p) for p in question.tuning)
        chosen = f"{over} of {count(len(question.tuning), 'tuning run')} over, " if question.tuning else ""
        OUT.print(f"{chosen}nothing is judged yet: the same command goes on")
    return report.exit_code, begun


def _show(display: Display, judged: Sequence[Judged]) -> None:
    """The standing above the runs that are being trained, or a line each where output is no terminal."""
    display.standing = standing_grid(judged) if display.live else ""
    if not display.live:
        for line in standing_lines(judged):
            OUT.print(Text(line))
