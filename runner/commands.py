"""What the commands do. Each takes the parsed request and returns an exit code; imports stand where they are needed."""

from __future__ import annotations

import gc
import hashlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from batchlab.results.store.queue import FOLDER as QUEUES
from batchlab.results.store.run import FINISHED, Run
from batchlab.results.store.runs import RunStore, check_name
from batchlab.results.words import count, listing, parted
from batchlab.runner import interrupts
from batchlab.runner.archives import print_reproduction, reading, sweep_of
from batchlab.runner.console import ERR, OUT, busy
from batchlab.runner.options import (
    Deciding,
    GridOptions,
    PlotRequest,
    Printing,
    SweepOptions,
    TableRequest,
    listed_store,
    usual_runs,
)
from batchlab.runner.plan.schema import ConfigError

if TYPE_CHECKING:
    from batchlab.runner.looks import Question
    from batchlab.runner.plan.config import Planned
    from batchlab.runner.plan.reproduce import PaperPlan

COMPOSING = "composing the runs"
READING = "reading the runs"
BRIEF = Printing()
TOGETHER = 500
"""Lines that are printed at a time: rich takes as long for one."""


def train(overrides: Sequence[str], runs: Path, options: SweepOptions) -> int:
    """Train one run and print its rows as they arrive."""
    plans = _composed(overrides)
    if len(plans) != 1:
        raise ConfigError(
            f"these overrides make {len(plans)} runs: `batchlab sweep` takes several (a value that has commas "
            "in it stands in quotes within quotes: 'key=\"a,b\"')"
        )
    run = RunStore(runs).run(plans[0].run_id)
    if options.profile:
        _check_profile(plans[0], run, options)
    code = execute(plans, runs, options, name=None, follow=True)
    OUT.print(Text(f"{run.read_state().state}: {run.folder}"), soft_wrap=True)
    if options.profile:
        _print_profile(run)
    return code


def _check_profile(planned: Planned, run: Run, options: SweepOptions) -> None:
    """See that there are steps to profile; what an earlier one found is removed.

    Raises:
        ConfigError: There are none.
    """
    from batchlab.runner.plan.build import is_solver

    if is_solver(planned.tree["optimizer"]):
        raise ConfigError(
            f"--profile: optimizer={planned.tree['optimizer']['name']} is a finite-sum solver, whose compiled loop has "
            "no phases to tell apart; `batchlab status --time` has its parts"
        )
    if run.read_state().state in FINISHED and not options.rerun:
        raise ConfigError(f"--profile: run {run.run_id} is over: --rerun trains it again")
    (run.log / "profile.json").unlink(missing_ok=True)


def _print_profile(run: Run) -> None:
    """Print what the run found; of one that failed there may be nothing."""
    import json

    from batchlab.results.show.profile_sheet import profile_sheet
    from batchlab.results.show.render import print_sheets

    path = run.log / "profile.json"
    if path.exists():
        print_sheets([profile_sheet(json.loads(path.read_bytes()), run.log)])


def sweep(
    overrides: Sequence[str], runs: Path, options: SweepOptions, name: str | None, grid: GridOptions | None = None
) -> int:
    """Train every combination of the overrides."""
    if name is not None:
        check_name(name)
    plans = _composed(overrides, grid)
    return execute(plans, runs, options, name or name_of(plans), extend=name is not None)


def _composed(overrides: Sequence[str], grid: GridOptions | None = None) -> list[Planned]:
    """The runs that the overrides ask for.

    They stay until the command ends: the interpreter looks for no cycles among them, neither now nor ever after.
    """
    with busy(COMPOSING, logged=False):
        from batchlab.runner.plan.config import compose

        gc.disable()
        try:
            return compose(overrides, options=grid)
        finally:
            gc.freeze()
            gc.enable()


def name_of(plans: Sequence[Planned]) -> str:
    """What a sweep without a name is called: the same request has the same name."""
    digest = hashlib.sha256(" ".join(p.run_id for p in plans).encode()).hexdigest()
    return f"sweep-{digest[:6]}"


def execute(
    plans: Sequence[Planned],
    runs: Path,
    options: SweepOptions,
    name: str | None,
    *,
    follow: bool = False,
    extend: bool = False,
    notes: Sequence[str] = (),
) -> int:
    """Check all runs, then train what is left of them.

    Args:
        plans: the runs.
        runs: the folder that holds all runs.
        options: how to go about it.
        name: of the sweep, whose manifest is written; None for a run alone.
        follow: print every row of metrics as it arrives.
        extend: other runs that a sweep of this name has stay in it.
        notes: what is said of the sweep, in what it has to show.

    Returns:
        The exit code: 0 done, 1 some run failed, 130 interrupted.

    Raises:
        ConfigError: a run that cannot work; nothing was started then.
    """
    if options.dry_run:
        return _dry_run(plans, runs, options, name or plans[0].run_id, extend=extend)
    from batchlab.runner.training import Training

    with Training(plans, runs, options, follow=follow) as training:
        report = training.train(plans, name or plans[0].run_id, extend=extend, notes=notes)
    if name is not None:
        hint(name, runs)
    return report.exit_code


def hint(sweep: str, runs: Path) -> None:
    """Say how to look at a sweep."""
    hints = f"`batchlab status {sweep}{_there(runs)}`, `batchlab table --sweep {sweep}{_there(runs)}`"
    OUT.print(Text(f"sweep {sweep} in {runs}: {hints}"), soft_wrap=True)


def _there(runs: Path) -> str:
    """The option that names the folder of all runs, where a command needs it, after a space."""
    usual = usual_runs() or Path("runs")
    return "" if runs == usual else f" --runs {shlex.quote(str(runs))}"


def _dry_run(
    plans: Sequence[Planned], runs: Path, options: SweepOptions, name: str | None = None, *, extend: bool = False
) -> int:
    """Check all runs, and say what would be trained.

    Args:
        plans: the runs.
        runs: the folder that holds all runs.
        options: how to go about it.
        name: of the sweep; None where its runs are chosen in looks.
        extend: other runs that a sweep of this name has stay in it.
    """
    from batchlab.runner.before import joined, look
    from batchlab.runner.display import title
    from batchlab.runner.launch.executors.base import executor_for
    from batchlab.runner.plan.blocks import OfBlocks
    from batchlab.runner.plan.reading import awaited
    from batchlab.runner.stale import Staleness
    from batchlab.runner.training import check, checking
    from batchlab.runner.waiting import grouping

    store = RunStore(runs)
    with busy(checking(plans), logged=False):
        before = look(plans, store, Staleness(store, options), options)  # before their code is imported
        others = joined(plans, store, name, extend=extend)[1] if name else ""
        # it refuses what could never be placed
        executor = executor_for([p.tree for p in plans], options.jobs_per_device, options.fuse)
        later = OfBlocks(awaited)
        checked = plans if before.left or before.held else []  # where all is over, torch is not waited for
        at_hand, elsewhere = ([p for p in checked if later(p.tree["dataset"]) is asked] for asked in (False, True))
        check(at_hand)
        check(elsewhere, data_at_hand=False)
    for start in range(0, len(plans), TOGETHER):
        lines = []
        for planned in plans[start : start + TOGETHER]:
            word = before.word(planned.run_id)
            line = Text(f"{planned.run_id}  {title(planned)}")
            lines.append(line.append(f"  {word}", "dim") if word else line)
        OUT.print(Text("\n").join(lines), soft_wrap=True)
    for note in [*([others] if others else []), *before.notes]:
        OUT.print(Text(note, style="yellow"), soft_wrap=True)
    if len(before.left) > 1:
        OUT.print(Text(str(grouping(before, executor, options))), soft_wrap=True)
    there = f"{count(len(plans), 'run')}{', all valid' if checked else ''}: {before.tally()}"
    OUT.print(f"{there}; nothing was started", style="bold", soft_wrap=True)
    if elsewhere:
        names = sorted({p.tree["dataset"]["name"] for p in elsewhere})
        how = f" (`batchlab data prepare {' '.join(names)}`)"
        OUT.print(Text(f"not checked against the data, which is not here yet: {', '.join(names)}{how}"), soft_wrap=True)
    return 0


def show(overrides: Sequence[str], axes: bool) -> int:
    """Print the configuration as YAML, or what each axis offers."""
    from batchlab.runner.plan.conf.files import axes as offered
    from batchlab.runner.plan.config import compose

    if axes:
        for axis, names in offered().items():
            OUT.print(Text(axis, "bold").append(f": {', '.join(names) or '(none yet)'}", "not bold"), soft_wrap=True)
        return 0
    import yaml

    plans = compose(overrides)
    if len(plans) != 1:
        raise ConfigError(f"these overrides make {len(plans)} runs: show takes one")
    OUT.print(f"# run {plans[0].run_id}", style="dim")
    OUT.print(Text(yaml.safe_dump(plans[0].tree, sort_keys=False).rstrip()), soft_wrap=True)
    return 0


def status(name: str | None, runs: Path, wide: bool = False) -> int:
    """Print the state of every run; neither torch nor pandas is imported."""
    from batchlab.results.show.render import print_sheets
    from batchlab.results.show.status import read_status
    from batchlab.results.store.aside import stale_notes

    store = listed_store(runs)
    found = read_status(store, name)
    if (store.root / QUEUES).is_dir():
        from batchlab.runner.launch.slurm.view import queued

        waiting = queued(store, [run.run_id for run in found.runs])
        found = found.with_queue(waiting.runs, waiting.notes)
    print_sheets(found.sheets(every=name is not None), wide=wide)
    for line in stale_notes(store, found.states):
        OUT.print(Text(line, style="yellow"), soft_wrap=True)
    return 1 if found.failed else 0


def spent(name: str | None, runs: Path, wide: bool = False) -> int:
    """Print where the time of a sweep, or of all runs, went."""
    from batchlab.results.show.render import print_sheets
    from batchlab.results.show.spent import spent_sheets
    from batchlab.results.show.status import read_status
    from batchlab.results.store.times import sessions

    store = listed_store(runs)
    found = read_status(store, name)
    print_sheets(spent_sheets(found, *sessions(store, name)), wide=wide)
    return 1 if found.failed else 0


def table(request: TableRequest, runs: Path, archives: Sequence[Path] | None = None) -> int:
    """Print a table that compares runs."""
    from batchlab.results.show.render import print_sheets

    with busy(READING, logged=False), reading(runs, archives, request.sweep) as store:
        from batchlab.results.compare.table import load_table
        from batchlab.results.compare.where import Where
        from batchlab.results.show.table_sheet import table_sheet

        made = load_table(
            store,
            rows=request.rows,
            cols=request.cols,
            metrics=request.metrics,
            where=Where.parse(request.where, request.others),
            baseline=",".join(request.baseline) or None,
            tuned=request.tuned,
            sweep=sweep_of(store, archives, request.sweep),
        )
        sheet = table_sheet(made)
    print_sheets([sheet], request.format, wide=request.wide)
    return 0


def plot(request: PlotRequest, output: Path, runs: Path, archives: Sequence[Path] | None = None) -> int:
    """Save a figure."""
    if not output.parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}: make it, or name another")
    with busy("drawing the runs", logged=False), reading(runs, archives, request.sweep) as store:
        from batchlab.results.compare.where import Where
        from batchlab.results.show.extent import Extent
        from batchlab.results.show.figure import load_figure

        drawn = load_figure(
            store,
            metric=request.metric,
            x=request.x.split(","),
            hue=",".join(dict.fromkeys(request.hue)) or "optimizer",
            panel=request.panel,
            kind=request.kind,
            problems=parted(request.problems) if request.problems else (),
            extent=Extent.parse(request.scale or "", request.ylim or ""),
            where=Where.parse(request.where, request.others),
            sweep=sweep_of(store, archives, request.sweep),
        )
        saved = drawn.save(output)
    OUT.print(Text(str(saved)), soft_wrap=True)
    for note in drawn.notes:
        ERR.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    return 0


def compare(
    overrides: Sequence[str],
    tune: Sequence[str],
    metric: str,
    runs: Path,
    options: SweepOptions,
    deciding: Deciding,
    name: str | None,
    grid: GridOptions | None = None,
) -> int:
    """Tune contenders alike, judge them in looks until it is decided, and say who is better."""
    if name is not None:
        check_name(name)
    with busy(COMPOSING, logged=not options.dry_run):  # the measures that it asks bring torch along
        from batchlab.runner import compare as engine

        compared = engine.planned(overrides, tune, metric, grid)
    return engine.compare(compared, runs, options, deciding, name)


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
            OUT.print(Text(f"{name} is left out at scale {scale}: {left_out[name]}"), soft_wrap=True)
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
            OUT.print(Text(said), soft_wrap=True)
        if not planned.plans:
            continue
        asked = alone(options, planned.plans) if planned.apart else options
        if deciding or planned.max_seeds:
            looks = deciding or Deciding()
            looks = replace(looks, max_seeds=looks.max_seeds or planned.max_seeds)
            code, begun = _decide(planned, runs, asked, looks)
        elif planned.chosen:
            code, begun = _choose(planned, runs, asked)
        else:
            code = execute(planned.plans, runs, asked, planned.sweep, notes=planned.deviations)
            begun = code != 130 and not options.dry_run
        codes.append(code)
        if begun:  # with looks, what was decided until Ctrl-C is printed too
            _conclude(planned, runs, printing, " --until-decided" if deciding else "")
        if code == 130:  # meant for all of them
            break
    return max(codes)


def _question(planned: PaperPlan) -> Question:
    """The paper's claims about its runs."""
    from batchlab.results.papers.catalogue import build
    from batchlab.runner.looks import Question

    return Question(
        planned.sweep, planned.plans, lambda frame: build(planned.paper, frame).claims, notes=planned.deviations
    )


def _choose(planned: PaperPlan, runs: Path, options: SweepOptions) -> tuple[int, bool]:
    """Train what chooses, then what it chose; whether there is something to show."""
    from batchlab.runner.chosen import judged_later, train_chosen

    question = _question(planned)
    if options.dry_run:
        code = _dry_run(question.tuning, runs, options)
        OUT.print(judged_later(question), soft_wrap=True)
        return code, False
    code = train_chosen(question, runs, options)
    hint(planned.sweep, runs)
    return code, code != 130


def _decide(planned: PaperPlan, runs: Path, options: SweepOptions, deciding: Deciding) -> tuple[int, bool]:
    """Train a paper's runs until its claims are decided; whether there is something to show."""
    from batchlab.runner.chosen import alone, methods
    from batchlab.runner.looks import decided, describe

    question = _question(planned)
    options = alone(options, planned.plans) if planned.chosen else options
    if options.dry_run:
        code = _dry_run(question.tuning if planned.chosen else planned.plans, runs, options)
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
    apart = f"batchlab reproduce {planned.paper} --scale {planned.scale}{how}{_there(runs)} --fuse off --rerun"
    print_reproduction(store, planned.paper, planned.sweep, runs, printing, apart)


def report(output: Path, sweep: str | None, runs: Path, archives: Sequence[Path] | None = None) -> int:
    """Write the HTML report."""
    with busy("writing the report", logged=False), reading(runs, archives, sweep) as store:
        from batchlab.results.report.write import write_report

        written = write_report(store, output, sweep=sweep)
    OUT.print(Text(str(written)), soft_wrap=True)
    return 0


def serve(port: int, sweep: str | None, runs: Path, archives: Sequence[Path] | None = None) -> int:
    """Show the report to this machine until Ctrl-C, with what runs have done meanwhile.

    Args:
        port: 0: any that is free.
        sweep: only the runs of this sweep.
        runs: the folder that holds all runs.
        archives: what is read instead, where something is given.
    """
    from batchlab.runner.serve import server

    with reading(runs, archives, sweep) as store, server(store, sweep, port) as made:
        address = "http://{}:{}/".format(*made.server_address[:2])
        OUT.print(Text(f"{address}  (for this machine alone; Ctrl-C ends it)"), soft_wrap=True)
        sys.stdout.flush()
        made.serve_forever()
    return 0


def prepare_data(names: Sequence[str]) -> int:
    """Make data sets ready: download or convert them."""
    from batchlab.datasets import prepare

    for name in names:
        with interrupts.tidying(), busy(f"preparing {name}", logged=False):
            path = prepare(name)
        OUT.print(Text(f"{name}: {path if path is not None else 'generated when used'}"), soft_wrap=True)
    return 0


def list_data() -> int:
    """List the data sets."""
    from rich.table import Table

    from batchlab.datasets import data_root
    from batchlab.datasets.catalogue import survey

    listing = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("data set", "train", "test", "shape", "classes", "state", "source"):
        listing.add_column(column, justify="right" if column in ("train", "test", "classes") else "left", no_wrap=True)
    found = survey()
    for entry in found:
        if isinstance(entry, str):
            continue
        shape = " x ".join(map(str, entry.shape))
        state = "ready" if entry.ready else "not here"
        classes = "targets" if entry.classes is None else str(entry.classes)
        listing.add_row(Text(entry.name), f"{entry.n:,}", f"{entry.n_test:,}", shape, classes, state, entry.source)
    OUT.print(listing)
    for line in found:
        if isinstance(line, str):
            OUT.print(Text(line, "yellow"), soft_wrap=True)
    OUT.print(Text(f"data root: {data_root()}", "dim"), soft_wrap=True)
    return 0
