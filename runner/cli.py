"""The command line: a table of contents. What each command does stands in commands.py.

Nothing heavy is imported here, so that `--help`, `status` and shell completion answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from batchlab.results.papers.scale import Scale
from batchlab.results.show.sheet import Format
from batchlab.runner import streams
from batchlab.runner.line import completion
from batchlab.runner.line.flags import (
    Baseline,
    Callbacks,
    Clock,
    Cols,
    ContestName,
    DataSets,
    Draws,
    DryRun,
    Hue,
    JobsPerDevice,
    Judged,
    Listed,
    MaxMinutes,
    MaxSeeds,
    Metrics,
    Named,
    Or,
    Overrides,
    Paper,
    Picture,
    Plotted,
    Rerun,
    Retry,
    Rows,
    Runs,
    SearchBy,
    SearchSeed,
    Skip,
    SmallestEffect,
    Stale,
    Sweep,
    SweepName,
    TrustCode,
    Tune,
    Tuned,
    Where,
    Zip,
)
from batchlab.runner.line.mistyped import wrong_line
from batchlab.runner.line.once import App
from batchlab.runner.options import Deciding, GridOptions, OnError, SweepOptions, TableRequest

app = App(
    name="batchlab",
    help="Does this optimizer, learning-rate schedule or batch-size schedule really help?",
    epilog="Overrides: optimizer=nshb  optimizer.lr=0.05  seed='range(0,3)'  batch_schedule=constant,exponential. "
    "Exit codes: 0 done, 1 some run failed, 2 the request was wrong (nothing started), 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUNS = Path("runs")

data_app = App(invoke_without_command=True)
app.add_typer(data_app, name="data")
runs_app = App(no_args_is_help=True)
app.add_typer(runs_app, name="runs")


@app.callback()
def root(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Does this optimizer, learning-rate schedule or batch-size schedule really help?"""


@app.command()
def train(
    overrides: Overrides = None,
    runs: Runs = RUNS,
    retry: Retry = False,
    trust_code: TrustCode = False,
    rerun: Rerun = False,
) -> None:
    """Train one run in the foreground."""
    from batchlab.runner import commands

    options = SweepOptions(retry=retry, trust_code=trust_code, rerun=rerun)
    raise typer.Exit(commands.train(overrides or [], runs, options))


@app.command()
def sweep(
    overrides: Overrides = None,
    runs: Runs = RUNS,
    dry_run: DryRun = False,
    retry: Retry = False,
    on_error: Annotated[OnError, typer.Option("--on-error", help="What to do after a failure.")] = OnError.CONTINUE,
    jobs_per_device: JobsPerDevice = None,
    name: SweepName = None,
    trust_code: TrustCode = False,
    rerun: Rerun = False,
    zip: Zip = None,
    skip: Skip = None,
    draws: Draws = None,
    search: SearchBy = None,
    search_seed: SearchSeed = None,
) -> None:
    """Train every combination of the choices; what is done is skipped, what was cut off is resumed."""
    from batchlab.runner import commands

    options = SweepOptions(dry_run, retry, on_error, jobs_per_device, trust_code, rerun)
    grid = GridOptions(zip or [], skip or [], draws, search, search_seed)
    raise typer.Exit(commands.sweep(overrides or [], runs, options, name, grid))


@app.command()
def status(
    name: Named = None,
    runs: Runs = RUNS,
) -> None:
    """What is done, running, failed (and why), left."""
    from batchlab.runner import commands

    raise typer.Exit(commands.status(name, runs))


@app.command()
def table(
    rows: Rows = None,
    cols: Cols = None,
    metric: Metrics = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    baseline: Baseline = None,
    tuned: Tuned = None,
    format: Annotated[Format, typer.Option("--format", help="How to write the table.")] = Format.RICH,
    runs: Runs = RUNS,
) -> None:
    """Compare: mean +- std over seeds, n, 95 % interval; diverged and failed runs are counted."""
    from batchlab.runner import commands

    request = TableRequest(
        rows or [], cols or [], metric or [], where or [], others or [], sweep, baseline or [], tuned, format
    )
    raise typer.Exit(commands.table(request, runs))


@app.command()
def plot(
    metric: Plotted = "test_accuracy",
    x: Clock = "samples",
    hue: Hue = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    output: Picture = Path("plot.png"),
    runs: Runs = RUNS,
) -> None:
    """Draw a metric: the mean over seeds with its 95 % band."""
    from batchlab.runner import commands

    raise typer.Exit(commands.plot(metric, x, hue or [], where or [], others or [], sweep, output, runs))


@app.command()
def compare(
    overrides: Overrides = None,
    tune: Tune = None,
    metric: Judged = "test_accuracy",
    max_seeds: MaxSeeds = None,
    max_minutes: MaxMinutes = None,
    smallest: SmallestEffect = None,
    name: ContestName = None,
    runs: Runs = RUNS,
    dry_run: DryRun = False,
    retry: Retry = False,
    jobs_per_device: JobsPerDevice = None,
    trust_code: TrustCode = False,
    zip: Zip = None,
    skip: Skip = None,
    draws: Draws = None,
    search: SearchBy = None,
    search_seed: SearchSeed = None,
) -> None:
    """Which of these is better? Tune each alike, then add paired seeds until it is decided."""
    from batchlab.runner import commands

    options = SweepOptions(dry_run, retry, jobs_per_device=jobs_per_device, trust_code=trust_code)
    deciding = Deciding(max_seeds, max_minutes, smallest)
    grid = GridOptions(zip or [], skip or [], draws, search, search_seed)
    raise typer.Exit(commands.compare(overrides or [], tune or [], metric, runs, options, deciding, name, grid))


@app.command()
def reproduce(
    paper: Paper,
    scale: Annotated[Scale, typer.Option("--scale", help="How much is trained.")] = Scale.LAPTOP,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds in declared looks while they can decide a claim.")
    ] = False,
    max_seeds: MaxSeeds = None,
    max_minutes: MaxMinutes = None,
    smallest: SmallestEffect = None,
    runs: Runs = RUNS,
    dry_run: DryRun = False,
    retry: Retry = False,
    jobs_per_device: JobsPerDevice = None,
    trust_code: TrustCode = False,
) -> None:
    """Run a paper's comparison and put its claims to the test."""
    from batchlab.runner import commands

    options = SweepOptions(dry_run, retry, jobs_per_device=jobs_per_device, trust_code=trust_code)
    deciding = Deciding(max_seeds, max_minutes, smallest) if until_decided else None
    if deciding is None and (max_seeds or max_minutes or smallest):
        raise ValueError("--max-seeds, --max-minutes and --smallest go with --until-decided")
    raise typer.Exit(commands.reproduce(paper, scale, runs, options, deciding))


@app.command()
def report(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html")] = Path("report.html"),
    sweep: Sweep = None,
    runs: Runs = RUNS,
) -> None:
    """One HTML file with every run, table, plot and claim."""
    from batchlab.runner import commands

    raise typer.Exit(commands.report(output, sweep, runs))


@data_app.callback()
def data(context: typer.Context) -> None:
    """The data sets: what there is, and download or convert by name."""
    if context.invoked_subcommand is None:
        data_list()


@data_app.command("list")
def data_list() -> None:
    """What there is, and whether it is ready."""
    from batchlab.runner import commands

    raise typer.Exit(commands.list_data())


@data_app.command("prepare")
def data_prepare(
    names: DataSets,
) -> None:
    """Make data sets ready, once."""
    from batchlab.runner import commands

    raise typer.Exit(commands.prepare_data(names))


@runs_app.callback()
def one_by_one() -> None:
    """The runs one by one: list them, remove some, tell callbacks of them."""


@runs_app.command("list")
def runs_list(
    metric: Listed = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    stale: Stale = False,
    format: Annotated[Format, typer.Option("--format", help="How to write the list.")] = Format.RICH,
    runs: Runs = RUNS,
) -> None:
    """Every run: its id, how it ended, what it is."""
    from batchlab.runner.runs import Chosen, show

    raise typer.Exit(show(Chosen(runs, where or [], sweep, stale, others or []), metric, format))


@runs_app.command("rm")
def runs_rm(
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    stale: Stale = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only shown.")] = False,
    runs: Runs = RUNS,
) -> None:
    """Remove runs: shown first, gone with --yes. One that is being trained is refused."""
    from batchlab.runner.runs import Chosen, delete

    raise typer.Exit(delete(Chosen(runs, where or [], sweep, stale, others or []), yes=yes))


@runs_app.command("export")
def runs_export(
    callbacks: Callbacks,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    runs: Runs = RUNS,
) -> None:
    """Tell callbacks of runs that are over, as if they happened now."""
    from batchlab.runner.export import export
    from batchlab.runner.runs import Chosen

    raise typer.Exit(export(Chosen(runs, where or [], sweep, False, others or []), callbacks))


@app.command()
def show(
    overrides: Overrides = None,
    axes: Annotated[bool, typer.Option("--axes", help="What each axis offers.")] = False,
) -> None:
    """The composed configuration of a run."""
    from batchlab.runner import commands

    raise typer.Exit(commands.show(overrides or [], axes))


def _keep_assertions() -> None:
    """Begin anew without PYTHONOPTIMIZE: where assertions are left out, Hydra's parser leaves out half of its work."""
    if sys.flags.optimize and os.environ.pop("PYTHONOPTIMIZE", ""):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main() -> None:
    """The console script. Errors are one line; `--traceback`, anywhere on the line, shows where they came from."""
    streams.prepare()
    _keep_assertions()
    os.environ.pop("MPLBACKEND", None)  # a notebook's, say: figures go into files
    if os.environ.get("_BATCHLAB_COMPLETE") == "complete_bash":
        return completion.in_bash(app)
    try:
        _answer(sys.argv[1:])
    except SystemExit as end:
        sys.stdout.flush()
        if streams.lost and not end.code:
            print(f"batchlab: what was printed could not all be written ({streams.lost[0]})", file=sys.stderr)
            sys.exit(1)
        raise


def _answer(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"batchlab {version('batchlab')}")
        sys.exit(0)
    traceback = "--traceback" in arguments
    try:
        code = app([a for a in arguments if a != "--traceback"], standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(said := wrong_line(error), str):
            print(f"batchlab: {said}" if said else "", file=sys.stderr, end="\n" if said else "")
            sys.exit(2)
        if traceback:
            raise
        wrong_request = isinstance(error, (ValueError, OSError))
        text = " ".join(str(error).split()) or type(error).__name__
        if not wrong_request:
            text = f"{type(error).__name__}: {text} (a fault of batchlab: --traceback shows where)"
        print(f"batchlab: {text}", file=sys.stderr)
        sys.exit(2 if wrong_request else 1)
    sys.exit(code)
