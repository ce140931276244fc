"""`batchlab runs`: the runs one by one. As in cli.py nothing heavy is imported before a command is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchlab.results.show.sheet import Format
from batchlab.runner.line.flags import (
    ArchiveFile,
    Archives,
    Callbacks,
    Listed,
    Or,
    Runs,
    Sort,
    Stale,
    Sweep,
    Where,
    Wide,
)
from batchlab.runner.line.once import App

RUNS = Path("runs")

runs_app = App(no_args_is_help=True)


@runs_app.callback()
def one_by_one() -> None:
    """The runs one by one: list them, remove some, tell callbacks of them; pack them, and merge what was packed."""


@runs_app.command("list")
def runs_list(
    metric: Listed = None,
    sort: Sort = None,
    where: Where = None,
    others: Or = None,
    sweep: Sweep = None,
    stale: Stale = False,
    format: Annotated[Format, typer.Option("--format", help="How to write the list.")] = Format.RICH,
    wide: Wide = False,
    runs: Runs = RUNS,
) -> None:
    """Every run: its id, how it ended, what sets it apart, its main metric and its training time."""
    from batchlab.runner.runs import Chosen, show

    raise typer.Exit(show(Chosen(runs, where or [], sweep, stale, others or []), metric, sort, format, wide=wide))


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


@runs_app.command("pack")
def runs_pack(archive: ArchiveFile, sweep: Sweep = None, runs: Runs = RUNS) -> None:
    """Put runs into one small file that travels: their results and configurations, no checkpoints and logs."""
    from batchlab.runner.archives import pack

    raise typer.Exit(pack(archive, runs, sweep))


@runs_app.command("merge")
def runs_merge(archives: Archives, runs: Runs = RUNS) -> None:
    """Put the runs of archives beside those that are here; what is here already stays as it is."""
    from batchlab.runner.archives import merge

    raise typer.Exit(merge(archives, runs))
