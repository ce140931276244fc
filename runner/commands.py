"""What the commands do. Each takes the parsed request and returns an exit code; imports stand where they are needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from batchlab.results.store.queue import FOLDER as QUEUES
from batchlab.results.store.run import FINISHED, Run
from batchlab.results.store.runs import RunStore, check_name
from batchlab.results.words import parted
from batchlab.runner import interrupts, typed
from batchlab.runner.archives import listed, reading, sweep_of
from batchlab.runner.console import ERR, OUT, busy
from batchlab.runner.execute import COMPOSING, composed, execute, name_of
from batchlab.runner.options import (
    Deciding,
    GridOptions,
    PlotRequest,
    SweepOptions,
    TableRequest,
)
from batchlab.runner.plan.schema import ConfigError

if TYPE_CHECKING:
    from batchlab.runner.plan.config import Planned

READING = "reading the runs"


def train(overrides: Sequence[str], runs: Path, options: SweepOptions) -> int:
    """Train one run and print its rows as they arrive."""
    plans = composed(overrides)
    if len(plans) != 1:
        raise ConfigError(
            f"these overrides make {len(plans)} runs: `batchlab sweep` takes several (a value that has commas "
            "in it stands in quotes within quotes: 'key=\"a,b\"')"
        )
    run = RunStore(runs).run(plans[0].run_id)
    if options.profile:
        _check_profile(plans[0], run, options)
    code = execute(plans, runs, options, name=None, follow=True, asked=typed.train(overrides))
    OUT.print(Text(f"{run.read_state().state}: {run.folder}"))
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
    plans = composed(overrides, grid)
    asked = typed.sweep(overrides, grid, name)
    return execute(plans, runs, options, name or name_of(plans), extend=name is not None, asked=asked)


def show(overrides: Sequence[str], axes: bool) -> int:
    """Print the configuration as YAML, or what each axis offers."""
    from batchlab.runner.plan.conf.files import axes as offered
    from batchlab.runner.plan.config import compose

    if axes:
        for axis, names in offered().items():
            OUT.print(Text(axis, "bold").append(f": {', '.join(names) or '(none yet)'}", "not bold"))
        return 0
    import yaml

    plans = compose(overrides)
    if len(plans) != 1:
        raise ConfigError(f"these overrides make {len(plans)} runs: show takes one")
    OUT.print(f"# run {plans[0].run_id}", style="dim")
    OUT.print(Text(yaml.safe_dump(plans[0].tree, sort_keys=False).rstrip()), no_wrap=True)
    return 0


def status(name: str | None, runs: Path, archives: Sequence[Path] | None = None, wide: bool = False) -> int:
    """Print the state of every run; neither torch nor pandas is imported."""
    from batchlab.results.show.render import print_sheets
    from batchlab.results.show.status import read_status
    from batchlab.results.store.aside import stale_notes

    with listed(runs, archives) as store:
        found = read_status(store, sweep_of(store, archives, name))
        if (store.root / QUEUES).is_dir():
            from batchlab.runner.launch.slurm.view import queued

            waiting = queued(store, [run.run_id for run in found.runs])
            found = found.with_queue(waiting.runs, waiting.notes)
        print_sheets(found.sheets(every=name is not None), wide=wide)
        for line in stale_notes(store, found.states):
            OUT.print(Text(line, style="yellow"))
    return 1 if found.failed else 0


def spent(name: str | None, runs: Path, archives: Sequence[Path] | None = None, wide: bool = False) -> int:
    """Print where the time of a sweep, or of all runs, went."""
    from batchlab.results.show.render import print_sheets
    from batchlab.results.show.spent import spent_sheets
    from batchlab.results.show.status import read_status
    from batchlab.results.store.times import sessions

    with listed(runs, archives) as store:
        found = read_status(store, sweep_of(store, archives, name))
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
            sweep=request.sweep,
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
            hue=",".join(dict.fromkeys(request.hue)) or None,
            panel=request.panel,
            kind=request.kind,
            problems=parted(request.problems) if request.problems else (),
            extent=Extent.parse(request.scale or "", request.ylim or ""),
            where=Where.parse(request.where, request.others),
            sweep=request.sweep,
        )
        saved = drawn.save(output)
    OUT.print(Text(str(saved)), no_wrap=True)
    for note in drawn.notes:
        ERR.print(Text(f"note: {note}", style="yellow"))
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
        from batchlab.runner.contenders import planned

        compared = planned(overrides, tune, metric, grid)
    asked = typed.compare(overrides, tune, metric, grid, deciding, name)
    return engine.compare(compared, runs, options, deciding, name, asked)


def report(output: Path, sweep: str | None, runs: Path, archives: Sequence[Path] | None = None) -> int:
    """Write the HTML report."""
    with busy("writing the report", logged=False), reading(runs, archives, sweep) as store:
        from batchlab.results.report.write import write_report

        written = write_report(store, output, sweep=sweep)
    OUT.print(Text(str(written)), no_wrap=True)
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

    os.nice(10)  # what trains beside it, and is timed, goes first
    with listed(runs, archives) as store, server(store, sweep, port) as made:
        address = "http://{}:{}/".format(*made.server_address[:2])
        OUT.print(Text(f"{address}  (for this machine alone; Ctrl-C ends it)"))
        sys.stdout.flush()
        made.serve_forever()
    return 0


def prepare_data(names: Sequence[str]) -> int:
    """Make data sets ready: download or convert them."""
    from batchlab.datasets import prepare

    for name in names:
        with interrupts.tidying(), busy(f"preparing {name}", logged=False):
            path = prepare(name)
        OUT.print(Text(f"{name}: {path if path is not None else 'generated when used'}"))
    return 0


def list_data() -> int:
    """List the data sets."""
    from batchlab.datasets import data_root
    from batchlab.datasets.catalogue import survey
    from batchlab.results.show.render import print_sheets
    from batchlab.results.show.sheet import Column, Sheet
    from batchlab.results.show.sheet import Text as Cell

    heads = ("data set", "train", "test", "shape", "classes", "state", "source")
    columns = [Column((head,), "right" if head in ("train", "test", "classes") else "left") for head in heads]
    found = survey()
    rows = []
    for entry in found:
        if isinstance(entry, str):
            continue
        shape = " x ".join(map(str, entry.shape))
        state = "ready" if entry.ready else "not here"
        classes = "targets" if entry.classes is None else str(entry.classes)
        said = (entry.name, f"{entry.n:,}", f"{entry.n_test:,}", shape, classes, state, entry.source)
        rows.append([*map(Cell, said)])
    print_sheets([Sheet("data sets", columns, rows)])
    for line in found:
        if isinstance(line, str):
            OUT.print(Text(line, "yellow"))
    OUT.print(Text(f"data root: {data_root()}", "dim"))
    return 0
