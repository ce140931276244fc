"""The options of the commands, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchlab.results.show.kinds import AxisScale, Kind
from batchlab.runner.line import completion
from batchlab.runner.options import OnError, Search, usual_runs

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
Fuse = Annotated[
    str | None,
    typer.Option("--fuse", metavar="auto|off|N", help="Runs that differ in numbers alone train in one process."),
]
Retry = Annotated[bool, typer.Option("--retry", help="Start again what failed before, or was stopped at its timeout.")]
Retries = Annotated[
    int, typer.Option("--retries", min=0, metavar="N", help="Start a run that fails or crashes again, up to N times.")
]
RetryOom = Annotated[bool, typer.Option("--retry-oom", help="Out of memory: try again at half the micro-batch.")]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="30m|2h|SECONDS", help="Stop a run then, at a checkpoint; a longer one goes on."),
]
MaxRuns = Annotated[int | None, typer.Option("--max-runs", min=1, metavar="N", help="Start so many runs at most.")]
StopAfter = Annotated[
    str | None,
    typer.Option("--stop-after", metavar="N|P%", help="Stop after so many failures, or such a share of the runs."),
]
Failing = Annotated[OnError, typer.Option("--on-error", help="What to do after a failure (stop: --stop-after 1).")]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Take runs of other code or data as they are.")]
Rerun = Annotated[bool, typer.Option("--rerun", help="Train every run from its beginning, done or not.")]
Profile = Annotated[bool, typer.Option("--profile", help="Say where the time of a step goes, and write a trace.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave the runs to a cluster's queue; wait for none.")]
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
    list[str] | None,
    typer.Option(
        "--zip",
        metavar="KEY,KEY",
        help="Keys that move together; may be repeated.",
        autocompletion=completion.zipped,
    ),
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
MaxGrid = Annotated[int | None, typer.Option("--max-grid", min=1, metavar="N", help="Runs a grid may have (100,000).")]
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
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from", metavar="ARCHIVE", help="Read packed runs, a file or a folder of them, not --runs; may be repeated."
    ),
]
ArchiveFile = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="The file, NAME.tar.xz.")]
Archives = Annotated[list[Path], typer.Argument(metavar="ARCHIVE...", help="What `batchlab runs pack` wrote.")]
Stale = Annotated[bool, typer.Option("--stale", help="Of the earlier runs that others took the place of.")]


Full = Annotated[bool, typer.Option("--full", help="Print every table and claim, not the verdicts alone.")]
Wide = Annotated[bool, typer.Option("--wide", help="Wrap nothing to the terminal's width (for `less -S`).")]
SweepName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="What to call the sweep; one that is there grows.",
        autocompletion=completion.sweeps,
    ),
]
Named = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A sweep; all runs without it.", autocompletion=completion.sweeps),
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        metavar="AXIS",
        help="Rows, else what the runs differ in; may be repeated.",
        autocompletion=completion.axes,
    ),
]
Cols = Annotated[
    list[str] | None,
    typer.Option("--cols", metavar="AXIS", help="Columns; may be repeated.", autocompletion=completion.axes),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="M",
        help="test_accuracy, min:test_loss, steps_to:test_accuracy>=0.9, ...",
        autocompletion=completion.metrics,
    ),
]
Baseline = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="AXIS=VALUE",
        help="Paired test against it; may be repeated.",
        autocompletion=completion.conditions,
    ),
]
Tuned = Annotated[
    str | None,
    typer.Option(
        "--tuned",
        metavar="KEY",
        help="Choose its value on half of the seeds, judge the rest.",
        autocompletion=completion.axes,
    ),
]
Plotted = Annotated[str, typer.Option("--metric", metavar="M", help="What to plot.", autocompletion=completion.metrics)]
Clock = Annotated[
    str,
    typer.Option(
        "--x",
        metavar="samples|steps|seconds|KEY",
        help="Against what; also epochs, passes, gradients or flops; a key that was swept: sensitivity curves.",
        autocompletion=completion.clocks,
    ),
]
Panel = Annotated[
    str | None,
    typer.Option("--panel", metavar="AXIS", help="A panel for each value.", autocompletion=completion.axes),
]
FigureKind = Annotated[
    Kind,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="curves; or of contenders (--hue) over problems: profile (performance profiles), iqm (interquartile "
        "means), improvement (chances to be better), ranking (a map).",
    ),
]
Problems = Annotated[
    str | None,
    typer.Option(
        "--problems",
        metavar="AXIS,AXIS",
        help="What makes a problem (model and dataset, where they vary).",
        autocompletion=completion.axes,
    ),
]
YScale = Annotated[AxisScale | None, typer.Option("--scale", help="Of the y-axis (as the metric asks).")]
YLimits = Annotated[
    str | None, typer.Option("--ylim", metavar="LOW,HIGH", help="Ends of the y-axis, as it shows them.")
]
Hue = Annotated[
    list[str] | None,
    typer.Option(
        "--hue",
        metavar="AXIS",
        help="One line per value, or combination; else what the runs differ in; may be repeated.",
        autocompletion=completion.axes,
    ),
]
Picture = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".png, .svg or .pdf")]
Tune = Annotated[
    list[str] | None,
    typer.Option(
        "--tune",
        metavar="KEY=V,V",
        help="Choose each contender's value on seeds that judge nothing.",
        autocompletion=completion.tuned,
    ),
]
Judged = Annotated[
    str, typer.Option("--metric", metavar="M", help="What is judged.", autocompletion=completion.metrics)
]
ContestName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What to call its sweep.", autocompletion=completion.sweeps),
]
Paper = Annotated[
    str,
    typer.Argument(metavar="PAPER|all", help="sgdm_schedules, adadagrad, ...", autocompletion=completion.papers),
]
DataSets = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="What to download or convert.", autocompletion=completion.data_sets),
]
Listed = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="M",
        help="A column of it, best first (by default the main one).",
        autocompletion=completion.metrics,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort",
        metavar="KEY",
        help="In order of metric (best first), train_seconds, state, or any axis or key.",
        autocompletion=completion.axes,
    ),
]
Callbacks = Annotated[
    list[str],
    typer.Argument(
        metavar="CALLBACK...",
        help="tensorboard, mlflow, wandb, ...; overrides of their keys.",
        autocompletion=completion.callbacks,
    ),
]
