"""The command line: a table of contents. What each command does stands in commands.py.

Nothing heavy is imported here, so that `--help`, `status` and shell completion answer at once.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from batchlab.results.papers.scale import Scale
from batchlab.results.show.kinds import Kind
from batchlab.results.show.sheet import Format
from batchlab.results.show.wrap import fitted
from batchlab.results.store import exhausted
from batchlab.results.words import visible
from batchlab.runner import exits, interrupts, streams
from batchlab.runner.cli_runs import RUNS, runs_app
from batchlab.runner.line import completion
from batchlab.runner.line.blocks import Decided, Grid, Looks, Swept, Trained
from batchlab.runner.line.flags import (
    Baseline,
    Clock,
    Cols,
    ContestName,
    DataSets,
    FigureKind,
    From,
    Full,
    Hue,
    Judged,
    Metrics,
    Named,
    Or,
    Overrides,
    Panel,
    Paper,
    Picture,
    Plotted,
    Problems,
    Rows,
    Runs,
    Sweep,
    SweepName,
    Tune,
    Tuned,
    Where,
    Wide,
    YLimits,
    YScale,
)
from batchlab.runner.line.mistyped import wrong_line
from batchlab.runner.line.once import App
from batchlab.runner.options import Deciding, PlotRequest, Printing, TableRequest, asked

app = App(
    name="batchlab",
    help="Does this optimizer, learning-rate schedule or batch-size schedule really help?",
    epilog="Overrides: optimizer=nshb  optimizer.lr=0.05  seed='range(0,3)'  batch_schedule=constant,exponential. "
    "Exit codes: 0 done, 1 some run failed, 2 the request was wrong (nothing was started), 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

data_app = App(invoke_without_command=True)
app.add_typer(data_app, name="data")
app.add_typer(runs_app, name="runs")


@app.callback()
def root(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Does this optimizer, learning-rate schedule or batch-size schedule really help?"""


@app.command()
def train(overrides: Overrides = None, runs: Runs = RUNS, *, options: Trained) -> None:
    """Train one run in the foreground."""
    from batchlab.runner import commands

    raise typer.Exit(commands.train(overrides or [], runs, options))


@app.command()
def sweep(
    overrides: Overrides = None, runs: Runs = RUNS, *, name: SweepName = None, options: Swept, grid: Grid
) -> None:
    """Train every combination of the choices; what is done is skipped, what was cut off is resumed."""
    from batchlab.runner import commands

    raise typer.Exit(commands.sweep(overrides or [], runs, options, name, grid))


@app.command()
def status(
    name: Named = None,
    runs: Runs = RUNS,
    time: Annotated[bool, typer.Option("--time", help="Where the time went, by what it was spent on.")] = False,
    wide: Wide = False,
    archives: From = None,
) -> None:
    """What is done, running, failed (and why), left."""
    from batchlab.runner import commands

    said = commands.spent if time else commands.status
    raise typer.Exit(said(name, runs, archives, wide))


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
    wide: Wide = False,
    archives: From = None,
    runs: Runs = RUNS,
) -> None:
    """Compare: mean +- std over seeds, n, 95 % interval; diverged and failed runs are counted."""
    from batchlab.runner import commands

    request = TableRequest(
        rows or [], cols or [], metric or [], where or [], others or [], sweep, baseline or [], tuned, format, wide
    )
    raise typer.Exit(commands.table(request, runs, archives))


@app.command()
def plot(
    metric: Plotted = "test_accuracy",
    x: Clock = "samples",
    hue: Hue = None,
    panel: Panel = None,
    kind: FigureKind = Kind.CURVES,
    problems: Problems = None,
    scale: YScale = None,
    ylim: YLimits = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    output: Picture = Path("plot.png"),
    archives: From = None,
    runs: Runs = RUNS,
) -> None:
    """Draw a metric: the mean over seeds with its 95 % band."""
    from batchlab.runner import commands

    request = PlotRequest(metric, x, hue or [], panel, kind, problems, scale, ylim, where or [], others or [], sweep)
    raise typer.Exit(commands.plot(request, output, runs, archives))


@app.command()
def compare(
    overrides: Overrides = None,
    tune: Tune = None,
    metric: Judged = "test_accuracy",
    name: ContestName = None,
    runs: Runs = RUNS,
    *,
    deciding: Looks,
    options: Decided,
    grid: Grid,
) -> None:
    """Which of these is better? Tune each alike, then add paired seeds until it is decided."""
    from batchlab.runner import commands

    raise typer.Exit(commands.compare(overrides or [], tune or [], metric, runs, options, deciding, name, grid))


@app.command()
def reproduce(
    paper: Paper,
    scale: Annotated[Scale, typer.Option("--scale", help="How much is trained.")] = Scale.LAPTOP,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds in declared looks while they can decide a claim.")
    ] = False,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Show the runs that come with batchlab; train nothing.")
    ] = False,
    full: Full = False,
    wide: Wide = False,
    archives: From = None,
    runs: Runs = RUNS,
    *,
    deciding: Looks,
    options: Decided,
) -> None:
    """Run a paper's comparison and put its claims to the test."""
    printing = Printing(full, wide)
    if recorded or archives:
        from batchlab.runner.archives import check_trains_nothing, conclude

        check_trains_nothing(recorded, archives, until_decided, deciding, options)
        raise typer.Exit(conclude(paper, scale, archives, runs, printing))
    if not until_decided and deciding != Deciding():
        raise ValueError("--max-seeds, --max-minutes and --smallest go with --until-decided")
    from batchlab.runner import reproduction

    looks = deciding if until_decided else None
    raise typer.Exit(reproduction.reproduce(paper, scale, runs, options, looks, printing))


@app.command()
def report(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.html", help="By default report.html.")
    ] = None,
    sweep: Sweep = None,
    archives: From = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show it to this machine alone, as runs go on, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="Of --serve; by default any.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """One HTML file with every run, table, plot and claim."""
    from batchlab.runner import commands

    if serve:
        if output is not None:
            raise ValueError("--serve writes no file: leave out -o")
        raise typer.Exit(commands.serve(port or 0, sweep, runs, archives))
    if port is not None:
        raise ValueError("--port goes with --serve")
    raise typer.Exit(commands.report(output or Path("report.html"), sweep, runs, archives))


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
    interrupts.answer_interrupts()
    exits.begun.clear()
    asked[:] = [time.monotonic()]
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
            _complain(f"what was printed could not all be written ({streams.lost[0]})")
            sys.exit(1)
        raise


def _complain(text: str) -> None:
    """Print an error."""
    print(fitted(f"batchlab: {visible(text)}", sys.stderr), file=sys.stderr)


def _answer(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"batchlab {version('batchlab')}")
        sys.exit(0)
    traceback = "--traceback" in arguments
    try:
        code = app([a for a in arguments if a != "--traceback"], standalone_mode=False)
    except SystemExit as end:  # of a module of the user's: the command line's own ends come back as codes
        if traceback:
            raise RuntimeError(exits.said(end)) from end
        _complain(exits.said(end))
        sys.exit(exits.wrong())
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
    except Exception as error:
        if isinstance(said := wrong_line(error), str):
            if said:
                _complain(said)
            sys.exit(exits.WRONG)
        if traceback:
            raise
        wrong_request = isinstance(error, (ValueError, OSError))
        text = exhausted.line(error) or exits.nowhere(error) or " ".join(str(error).split()) or type(error).__name__
        if not wrong_request:
            text = f"{type(error).__name__}: {text} (a fault of batchlab: --traceback shows where)"
        _complain(text)
        sys.exit(exits.wrong() if wrong_request else exits.FAILED)
    sys.exit(code)
