"""What the commands do. Each takes the parsed request and returns an exit code; imports stand where they are needed."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from batchlab.results.store.runs import RunStore, check_name
from batchlab.results.words import count, listing
from batchlab.runner.console import ERR, OUT, busy
from batchlab.runner.options import Deciding, GridOptions, SweepOptions, TableRequest, listed_store, usual_runs
from batchlab.runner.plan.schema import ConfigError

if TYPE_CHECKING:
    from batchlab.runner.plan.config import Planned
    from batchlab.runner.plan.reproduce import PaperPlan

COMPOSING = "composing the runs"
READING = "reading the runs"


def train(overrides: Sequence[str], runs: Path, options: SweepOptions) -> int:
    """Train one run and print its rows as they arrive."""
    plans = _composed(overrides)
    if len(plans) != 1:
        raise ConfigError(f"these overrides make {len(plans)} runs: `batchlab sweep` takes several")
    code = execute(plans, runs, options, name=None, follow=True)
    run = RunStore(runs).run(plans[0].run_id)
    OUT.print(Text(f"{run.read_state().state}: {run.folder}"), soft_wrap=True)
    return code


def sweep(
    overrides: Sequence[str], runs: Path, options: SweepOptions, name: str | None, grid: GridOptions | None = None
) -> int:
    """Train every combination of the overrides."""
    if name is not None:
        check_name(name)
    plans = _composed(overrides, grid)
    return execute(plans, runs, options, name or name_of(plans), extend=name is not None)


def _composed(overrides: Sequence[str], grid: GridOptions | None = None) -> list[Planned]:
    """The runs that the overrides ask for."""
    with busy(COMPOSING, logged=False):
        from batchlab.runner.plan.config import compose

        return compose(overrides, options=grid)


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
) -> int:
    """Check all runs, then train what is left of them.

    Args:
        plans: the runs.
        runs: the folder that holds all runs.
        options: how to go about it.
        name: of the sweep, whose manifest is written; None for a run alone.
        follow: print every row of metrics as it arrives.
        extend: other runs that a sweep of this name has stay in it.

    Returns:
        The exit code: 0 done, 1 some run failed, 130 interrupted.

    Raises:
        ConfigError: a run that cannot work; nothing was started then.
    """
    if options.dry_run:
        return _dry_run(plans, runs, options, name or plans[0].run_id, extend=extend)
    from batchlab.runner.training import Training

    with Training(plans, runs, options, follow=follow) as training:
        report = training.train(plans, name or plans[0].run_id, extend=extend)
    if name is not None:
        hint(name, runs)
    return report.exit_code


def hint(sweep: str, runs: Path) -> None:
    """Say how to look at a sweep."""
    usual = usual_runs() or Path("runs")
    there = "" if runs == usual else f" --runs {shlex.quote(str(runs))}"
    hints = f"`batchlab status {sweep}{there}`, `batchlab table --sweep {sweep}{there}`"
    OUT.print(Text(f"sweep {sweep} in {runs}: {hints}"), soft_wrap=True)


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
    from batchlab.runner.plan.reading import awaited
    from batchlab.runner.stale import Staleness
    from batchlab.runner.training import check, checking

    store = RunStore(runs)
    with busy(checking(plans), logged=False):
        before = look(plans, store, Staleness(store, options), retry=options.retry)  # before their code is imported
        others = joined(plans, store, name, extend=extend)[1] if name else ""
        executor_for([p.tree for p in plans], options.jobs_per_device)  # refuses what could never be placed
        at_hand, elsewhere = ([p for p in plans if awaited(p.tree["dataset"]) is later] for later in (False, True))
        check(at_hand)
        check(elsewhere, data_at_hand=False)
    for planned in plans:
        word = before.word(planned.run_id)
        line = Text(f"{planned.run_id}  {title(planned)}")
        OUT.print(line.append(f"  {word}", "dim") if word else line, soft_wrap=True)
    for note in [*([others] if others else []), *before.notes]:
        OUT.print(Text(note, style="yellow"), soft_wrap=True)
    there = before.tally()
    OUT.print(f"{count(len(plans), 'run')}, all valid: {there}; nothing was started", style="bold", soft_wrap=True)
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


def status(name: str | None, runs: Path) -> int:
    """Print the state of every run; neither torch nor pandas is imported."""
    from batchlab.results.show.render import print_sheets
    from batchlab.results.show.status import read_status
    from batchlab.results.store.aside import stale_notes

    store = listed_store(runs)
    found = read_status(store, name)
    print_sheets(found.sheets(every=name is not None))
    for line in stale_notes(store, name):
        OUT.print(Text(line, style="yellow"), soft_wrap=True)
    return 1 if found.failed else 0


def table(request: TableRequest, runs: Path) -> int:
    """Print a table that compares runs."""
    from batchlab.results.show.render import print_sheets

    with busy(READING, logged=False):
        from batchlab.results.compare.table import load_table
        from batchlab.results.compare.where import Where
        from batchlab.results.show.table_sheet import table_sheet

        made = load_table(
            RunStore(runs).begun(request.sweep),
            rows=request.rows or ["optimizer"],
            cols=request.cols,
            metrics=request.metrics or ["test_accuracy"],
            where=Where.parse(request.where, request.others),
            baseline=",".join(request.baseline) or None,
            tuned=request.tuned,
            sweep=request.sweep,
        )
        sheet = table_sheet(made)
    print_sheets([sheet], request.format)
    return 0


def plot(
    metric: str,
    x: str,
    hue: Sequence[str],
    where: Sequence[str],
    others: Sequence[str],
    sweep: str | None,
    output: Path,
    runs: Path,
) -> int:
    """Save a figure."""
    with busy("drawing the runs", logged=False):
        from batchlab.results.compare.where import Where
        from batchlab.results.show.figure import load_figure

        store, chosen = RunStore(runs).begun(sweep), Where.parse(where, others)
        lines = ",".join(dict.fromkeys(hue)) or "optimizer"
        drawn = load_figure(store, metric=metric, x=x.split(","), hue=lines, where=chosen, sweep=sweep)
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


def reproduce(paper: str, scale: str, runs: Path, options: SweepOptions, deciding: Deciding | None = None) -> int:
    """Train a paper's comparison, print its tables and claims, save its plots.

    Args:
        paper: its name, or `all`.
        scale: how much is trained.
        runs: the folder that holds all runs.
        options: how to go about it.
        deciding: add seeds until its claims are decided; None: train the recipe's own.
    """
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
    codes = []
    for planned in plans:
        if len(plans) > 1:
            OUT.print(planned.paper, style="bold")
        if deciding:
            code, begun = _decide(planned, runs, options, deciding)
        else:
            code = execute(planned.plans, runs, options, planned.sweep)
            begun = code != 130 and not options.dry_run
        codes.append(code)
        if begun:  # with looks, what was decided until Ctrl-C is printed too
            _conclude(planned, runs)
        if code == 130:  # meant for all of them
            break
    return max(codes)


def _decide(planned: PaperPlan, runs: Path, options: SweepOptions, deciding: Deciding) -> tuple[int, bool]:
    """Train a paper's runs until its claims are decided; whether there is something to show."""
    from batchlab.results.papers.catalogue import build
    from batchlab.runner.looks import Question, decided, describe

    question = Question(planned.sweep, planned.plans, lambda frame: build(planned.paper, frame).claims)
    if options.dry_run:
        code = _dry_run(planned.plans, runs, options)
        plan = question.plan(deciding.max_seeds, deciding.smallest, planned.smallest)
        tuning, methods = len(question.tuning), len(question.at(plan.seeds[:1]))
        most = tuning + methods * plan.looks.seeds[-1]
        chosen = f"{count(tuning, 'run')} that choose, then " if tuning else ""
        OUT.print(f"{describe(plan)}: {chosen}{methods} a seed at most, where claims are open, up to {most:,} in all")
        return code, False
    code, begun = decided(question, runs, options, deciding, planned.smallest)
    hint(planned.sweep, runs)
    return code, begun


def _conclude(planned: PaperPlan, runs: Path) -> None:
    """Print a paper's tables and claims, save its plots."""
    from batchlab.results.show.render import print_sheets

    store = RunStore(runs)
    with busy("judging the claims", logged=False):
        from batchlab.results.papers.catalogue import reproduce as conclude

        if planned.survey and not store.measured(planned.paper):
            store.write_measured(planned.paper, planned.measure())
        concluded = conclude(store, planned.paper, planned.sweep)
        sheets = concluded.sheets()
    print_sheets(sheets)
    with busy("drawing its plots", logged=False):
        paths = concluded.save_plots(runs / "plots")
    for path in paths:
        OUT.print(Text(f"plot: {path}"), soft_wrap=True)


def report(output: Path, sweep: str | None, runs: Path) -> int:
    """Write the HTML report."""
    with busy("writing the report", logged=False):
        from batchlab.results.report import write_report

        written = write_report(RunStore(runs).begun(sweep), output, sweep=sweep)
    OUT.print(Text(str(written)), soft_wrap=True)
    return 0


def prepare_data(names: Sequence[str]) -> int:
    """Make data sets ready: download or convert them."""
    from batchlab.datasets import prepare

    for name in names:
        with busy(f"preparing {name}", logged=False):
            path = prepare(name)
        OUT.print(Text(f"{name}: {path if path is not None else 'generated when used'}"), soft_wrap=True)
    return 0


def list_data() -> int:
    """List the data sets."""
    from rich.table import Table

    from batchlab.datasets import available, data_root

    listing = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("data set", "train", "test", "shape", "classes", "state", "source"):
        listing.add_column(column, justify="right" if column in ("train", "test", "classes") else "left", no_wrap=True)
    for entry in available():
        shape = " x ".join(map(str, entry.shape))
        state = "ready" if entry.ready else "not here"
        classes = "targets" if entry.classes is None else str(entry.classes)
        listing.add_row(Text(entry.name), f"{entry.n:,}", f"{entry.n_test:,}", shape, classes, state, entry.source)
    OUT.print(listing)
    OUT.print(Text(f"data root: {data_root()}", "dim"), soft_wrap=True)
    return 0
