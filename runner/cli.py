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
from batchlab.runner import completion, streams
from batchlab.runner.once import App
from batchlab.runner.options import Deciding, GridOptions, OnError, Search, SweepOptions, TableRequest, usual_runs

app = App(
    name="batchlab",
    help="Does this optimizer, learning-rate schedule or batch-size schedule really help?",
    epilog="Overrides: optimizer=nshb  optimizer.lr=0.05  seed='range(0,3)'  batch_schedule=constant,exponential. "
    "Exit codes: 0 done, 1 some run failed, 2 the request was wrong (nothing started), 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

data_app = App(invoke_without_command=True)
app.add_typer(data_app, name="data")
runs_app = App(no_args_is_help=True)
app.add_typer(runs_app, name="runs")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OVERRIDE]...",
        help="Choices and values in Hydra's grammar, e.g. optimizer=adam train.epochs=5; in a sweep seed=1,2 too.",
        autocompletion=completion.overrides,
    ),
]


def _resolved(context: typer.Context, given: Path) -> Path:
    """`~` in BATCHLAB_RUNS is the home folder; in --runs the shell has resolved it where it was meant."""
    source = context.get_parameter_source("runs")
    return (usual_runs() or given) if source and source.name == "ENVIRONMENT" else given


Runs = Annotated[
    Path,
    typer.Option("--runs", metavar="DIR", envvar="BATCHLAB_RUNS", help="Where runs are kept.", callback=_resolved),
]
JobsPerDevice = Annotated[
    int | None, typer.Option("--jobs-per-device", min=1, metavar="K", help="Runs that share a device.")
]
Retry = Annotated[bool, typer.Option("--retry", help="Start failed runs again.")]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Take runs of other code or data as they are.")]
Rerun = Annotated[bool, typer.Option("--rerun", help="Train every run from its beginning, done or not.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Compose and check every run; start none.")]
MaxSeeds = Annotated[int | None, typer.Option("--max-seeds", min=3, metavar="N", help="Seeds at the last look (20).")]
MaxMinutes = Annotated[
    float | None, typer.Option("--max-minutes", min=0.1, metavar="M", help="Stop then; the same command goes on.")
]
SmallestEffect = Annotated[
    list[str] | None,
    typer.Option("--smallest", metavar="EFFECT", help="What is less does not matter: 0.5 (as shown), 5%; or both."),
]
Zip = Annotated[
    list[str] | None, typer.Option("--zip", metavar="KEY,KEY", help="Keys that move together; may be repeated.")
]
Skip = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        metavar="AXIS=VALUE,...",
        help="Leave out what meets all of these; may be repeated.",
        autocompletion=completion.overrides,
    ),
]
Draws = Annotated[
    int | None, typer.Option("--draws", min=1, metavar="N", help="Points of the keys with interval(LOW,HIGH).")
]
SearchBy = Annotated[Search | None, typer.Option("--search", help="How the points are chosen (halton).")]
SearchSeed = Annotated[int | None, typer.Option("--search-seed", min=0, metavar="S", help="Other points (0).")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="AXIS=VALUE,...",
        help="Only runs that meet all of these; may be repeated.",
        autocompletion=completion.conditions,
    ),
]
Or = Annotated[
    list[str] | None,
    typer.Option(
        "--or",
        metavar="AXIS=VALUE,...",
        help="Or runs that meet all of these; may be repeated.",
        autocompletion=completion.conditions,
    ),
]
Sweep = Annotated[
    str | None,
    typer.Option("--sweep", metavar="NAME", help="Only the runs of this sweep.", autocompletion=completion.sweeps),
]
Stale = Annotated[bool, typer.Option("--stale", help="Of the earlier runs that others took the place of.")]
RUNS = Path("runs")


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
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What to call the sweep; one that is there grows.",
            autocompletion=completion.sweeps,
        ),
    ] = None,
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
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A sweep; all runs without it.", autocompletion=completion.sweeps),
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """What is done, running, failed (and why), left."""
    from batchlab.runner import commands

    raise typer.Exit(commands.status(name, runs))


@app.command()
def table(
    rows: Annotated[
        list[str] | None,
        typer.Option("--rows", metavar="AXIS", help="Rows; may be repeated.", autocompletion=completion.axes),
    ] = None,
    cols: Annotated[
        list[str] | None,
        typer.Option("--cols", metavar="AXIS", help="Columns; may be repeated.", autocompletion=completion.axes),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="M",
            help="test_accuracy, min:test_loss, steps_to:test_accuracy>=0.9, ...",
            autocompletion=completion.metrics,
        ),
    ] = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="AXIS=VALUE",
            help="Paired test against it; may be repeated.",
            autocompletion=completion.conditions,
        ),
    ] = None,
    tuned: Annotated[
        str | None,
        typer.Option(
            "--tuned",
            metavar="KEY",
            help="Choose its value on half of the seeds, judge the rest.",
            autocompletion=completion.axes,
        ),
    ] = None,
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
    metric: Annotated[
        str, typer.Option("--metric", metavar="M", help="What to plot.", autocompletion=completion.metrics)
    ] = "test_accuracy",
    x: Annotated[
        str,
        typer.Option(
            "--x",
            metavar="samples|steps|seconds",
            help="Against what; also epochs, passes or gradients.",
            autocompletion=completion.clocks,
        ),
    ] = "samples",
    hue: Annotated[
        list[str] | None,
        typer.Option(
            "--hue",
            metavar="AXIS",
            help="One line per value; of several per combination; may be repeated.",
            autocompletion=completion.axes,
        ),
    ] = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".png, .svg or .pdf")] = Path(
        "plot.png"
    ),
    runs: Runs = RUNS,
) -> None:
    """Draw a metric: the mean over seeds with its 95 % band."""
    from batchlab.runner import commands

    raise typer.Exit(commands.plot(metric, x, hue or [], where or [], others or [], sweep, output, runs))


@app.command()
def compare(
    overrides: Overrides = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(
            "--tune",
            metavar="KEY=V,V",
            help="Choose each contender's value on seeds that judge nothing.",
            autocompletion=completion.tuned,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="M", help="What is judged.", autocompletion=completion.metrics)
    ] = "test_accuracy",
    max_seeds: MaxSeeds = None,
    max_minutes: MaxMinutes = None,
    smallest: SmallestEffect = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What to call its sweep.", autocompletion=completion.sweeps),
    ] = None,
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
    paper: Annotated[
        str,
        typer.Argument(metavar="PAPER|all", help="sgdm_schedules, adadagrad, ...", autocompletion=completion.papers),
    ],
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
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="What to download or convert.", autocompletion=completion.data_sets),
    ],
) -> None:
    """Make data sets ready, once."""
    from batchlab.runner import commands

    raise typer.Exit(commands.prepare_data(names))


@runs_app.callback()
def one_by_one() -> None:
    """The runs one by one: list them, remove some."""


@runs_app.command("list")
def runs_list(
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="M", help="A column of it, best first.", autocompletion=completion.metrics),
    ] = None,
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
    callbacks: Annotated[
        list[str],
        typer.Argument(metavar="CALLBACK...", help="tensorboard, mlflow, wandb, ...; overrides of their keys."),
    ],
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
        app([a for a in arguments if a != "--traceback"])
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if traceback:
            raise
        wrong_request = isinstance(error, (ValueError, OSError))
        text = " ".join(str(error).split()) or type(error).__name__
        if not wrong_request:
            text = f"{type(error).__name__}: {text} (a fault of batchlab: --traceback shows where)"
        print(f"batchlab: {text}", file=sys.stderr)
        sys.exit(2 if wrong_request else 1)
