"""`batchlab reproduce`: a paper's comparison is trained, its claims are judged, its plots and report written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from batchlab.results.store.runs import Asked, RunStore
from batchlab.results.words import count, listing
from batchlab.runner import typed
from batchlab.runner.archives import print_reproduction
from batchlab.runner.console import OUT, busy
from batchlab.runner.execute import dry_run, execute, hint, there
from batchlab.runner.options import Deciding, Printing, SweepOptions
from batchlab.runner.plan.schema import ConfigError

if TYPE_CHECKING:
    from batchlab.runner.looks import Question
    from batchlab.runner.plan.reproduce import PaperPlan

BRIEF = Printing()


def reproduce(
    paper: str,
    scale: str,
    runs: Path,
    options: SweepOptions,
    deciding: Deciding | None = None,
    printing: Printing = BRIEF,
) -> int:
    """Train a paper's comparison, print its verdicts, save its plots and its report.

    Args:
        paper: its name, or `all`.
        scale: how much is trained.
        runs: the folder that holds all runs.
        options: how to go about it.
        deciding: add seeds until its claims are decided; None: train the recipe's own.
        printing: how much is printed.
    """
    from batchlab.runner.chosen import alone
    from batchlab.runner.plan.reproduce import absent, check_there, plan, recipes

    chosen = recipes() if paper == "all" else [paper]
    if paper == "all":
        left_out = {name: why for name in chosen if (why := absent(name, scale))}
        chosen = [name for name in chosen if name not in left_out] or chosen  # if none is left, the first says why
        for name in left_out.keys() - chosen:
            OUT.print(Text(f"{name} is left out at scale {scale}: {left_out[name]}"))
    for name in chosen:
        check_there(name, scale)
    with busy(f"composing the runs of {listing(chosen)} at scale {scale}", logged=not options.dry_run):
        plans = [plan(name, scale) for name in chosen]
    if not any(planned.plans for planned in plans):
        lacking = list(dict.fromkeys(name for planned in plans for name in planned.lacking))
        way_out = f"`batchlab data prepare {' '.join(lacking)}`, or BATCHLAB_DATA, the folder where they are"
        raise ConfigError(f"nothing of {listing(chosen)} can be trained at scale {scale} without its data: {way_out}")
    codes = []
    for planned in plans:
        if len(plans) > 1:
            OUT.print(planned.paper, style="bold")
        if planned.lacking:
            said = f"left out at scale {scale}, as it is not in the data root: {listing(planned.lacking)}"
            OUT.print(Text(said))
        if not planned.plans:
            continue
        how = alone(options, planned.plans) if planned.apart else options
        asked = typed.reproduce(planned.paper, scale, deciding)
        if deciding or planned.max_seeds:
            looks = deciding or Deciding()
            looks = replace(looks, max_seeds=looks.max_seeds or planned.max_seeds)
            code, begun = _decide(planned, runs, how, looks, asked)
        elif planned.chosen:
            code, begun = _choose(planned, runs, how, asked)
        else:
            code = execute(planned.plans, runs, how, planned.sweep, notes=planned.deviations, asked=asked)
            begun = code != 130 and not options.dry_run
        codes.append(code)
        if begun:  # with looks, what was decided until Ctrl-C is printed too
            _conclude(planned, runs, printing, " --until-decided" if deciding else "")
        if code == 130:  # meant for all of them
            break
    return max(codes)


def _question(planned: PaperPlan, asked: Asked) -> Question:
    """The paper's claims about its runs.

    Args:
        planned: The paper.
        asked: The command that asks for them.
    """
    from batchlab.results.papers.catalogue import build
    from batchlab.runner.looks import Question

    return Question(
        planned.sweep,
        planned.plans,
        lambda frame: build(planned.paper, frame).claims,
        notes=planned.deviations,
        asked=asked,
    )


def _choose(planned: PaperPlan, runs: Path, options: SweepOptions, asked: Asked) -> tuple[int, bool]:
    """Train what chooses, then what it chose; whether there is something to show."""
    from batchlab.runner.chosen import judged_later, train_chosen

    question = _question(planned, asked)
    if options.dry_run:
        code = dry_run(question.tuning, runs, options)
        OUT.print(judged_later(question))
        return code, False
    code = train_chosen(question, runs, options)
    hint(planned.sweep, runs)
    return code, code != 130


def _decide(
    planned: PaperPlan, runs: Path, options: SweepOptions, deciding: Deciding, asked: Asked
) -> tuple[int, bool]:
    """Train a paper's runs until its claims are decided; whether there is something to show."""
    from batchlab.runner.chosen import alone, methods
    from batchlab.runner.looks import decided, describe

    question = _question(planned, asked)
    options = alone(options, planned.plans) if planned.chosen else options
    if options.dry_run:
        code = dry_run(question.tuning if planned.chosen else planned.plans, runs, options)
        plan = question.plan(deciding.max_seeds, deciding.smallest, planned.smallest)
        tuning = len(question.tuning)
        each = methods(question) if planned.chosen else len(question.at(plan.seeds[:1]))
        most = tuning + each * plan.looks.seeds[-1]
        chosen = f"{count(tuning, 'run')} that choose, then " if tuning else ""
        OUT.print(f"{describe(plan)}: {chosen}{each} a seed at most, where claims are open, up to {most:,} in all")
        return code, False
    code, begun = decided(question, runs, options, deciding, planned.smallest)
    hint(planned.sweep, runs)
    return code, begun


def _conclude(planned: PaperPlan, runs: Path, printing: Printing, how: str = "") -> None:
    """Print a paper's verdicts, save its plots and its report.

    Args:
        planned: the paper.
        runs: the folder that holds all runs.
        printing: how much is printed.
        how: options with which it was asked for, each after a space.
    """
    store = RunStore(runs)
    if planned.survey and not store.measured(planned.paper):
        with busy("measuring what its tables show apart from runs", logged=False):
            store.write_measured(planned.paper, planned.measure())
    apart = f"batchlab reproduce {planned.paper} --scale {planned.scale}{how}{there(runs)} --fuse off --rerun"
    print_reproduction(store, planned.paper, planned.sweep, runs, printing, apart)
