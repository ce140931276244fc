"""`batchlab runs pack` and `merge`, and what else reads archives: `--from`, and what is recorded with batchlab.

Nothing here trains, or imports torch.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from rich.text import Text

from batchlab.results.papers.recorded import archive_of, recorded
from batchlab.results.papers.scale import Scale
from batchlab.results.store.run import FINISHED, State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count, listing
from batchlab.runner.console import OUT, busy
from batchlab.runner.options import Deciding, Printing, SweepOptions, listed_store

NAMED = 3
"""So many runs are named in a line."""


def pack(path: Path, runs: Path, sweep: str | None) -> int:
    """Pack runs into an archive, and say which are in it and which are not."""
    from batchlab.results.store.pack import pack as packed_into

    with busy("packing the runs", logged=False):
        packed = packed_into(listed_store(runs), path, sweep)
    states = Counter(packed.states.values())
    unbegun = packed.absent + states.pop(State.PENDING, 0)
    said = listing([f"{n:,} {state}" for state, n in sorted(states.items())])
    size = packed.bytes / 1024
    weight = f"{size:,.0f} KiB" if size < 1024 else f"{size / 1024:,.1f} MiB"
    OUT.print(Text(f"{path}: {count(states.total(), 'run')} ({said}), {weight}", style="bold"))
    open_ones = sum(n for state, n in states.items() if state not in (*FINISHED, State.FAILED))
    if open_ones:
        _note(f"{_are(open_ones)} not over: in it as they are, for tables, and without what they would go on from")
    if packed.training:
        _note(f"{_are(len(packed.training))} being trained and not in it ({_named(packed.training)}): pack again then")
    if unbegun:
        _note(f"{count(unbegun, 'run')} {'has' if unbegun == 1 else 'have'} not begun: a sweep trains what is left")
    for why in packed.damaged.values():
        _note(f"not in it: {why}")
    return 1 if packed.damaged else 0


def merge(archives: Sequence[Path], runs: Path) -> int:
    """Put the runs of archives into a store, and say what became of each."""
    from batchlab.results.store.merge import merge as merged_into
    from batchlab.results.store.unpacked import unpacked
    from batchlab.runner.plan.identity import run_id

    with busy("merging the runs", logged=False), unpacked(archives) as stores:
        merged = merged_into(RunStore(runs), stores, run_id)
    what = [f"{count(len(merged.new), 'new run')}", f"{len(merged.there):,} there already"]
    OUT.print(Text(f"{runs}: {listing(what)}", style="bold"))
    if n := len(merged.unfinished):
        _note(f"{_are(n)} not over and left out, as an archive has nothing to go on from: a sweep trains what is left")
    if merged.busy:
        _note(f"{_are(len(merged.busy))} being trained here and left alone ({_named(merged.busy)})")
    if merged.aside:
        _note(f"{count(len(merged.aside), 'earlier run')} gave way, kept aside: `batchlab runs list --stale`")
    for why in merged.damaged.values():
        _note(f"left out: {why}")
    for line in merged.notes:
        _note(line)
    for name in merged.sweeps:
        sweep = RunStore(runs).sweep(name)
        if sweep.alone:
            continue
        lost = f", {len(sweep.left_out):,} of them left out" if sweep.left_out else ""
        OUT.print(Text(f"sweep {name}: {count(len(sweep.entries), 'run')}{lost}"))
    return 1 if merged.damaged else 0


@contextmanager
def reading(runs: Path, archives: Sequence[Path] | None, sweep: str | None = None) -> Iterator[RunStore]:
    """The runs that a command reads, until the block ends.

    Args:
        runs: The folder that holds all runs.
        archives: What is read instead, where something is given.
        sweep: The sweep that is read, whose runs may be to come.

    Raises:
        ValueError: There is nothing to read.
    """
    if not archives:
        yield RunStore(runs).begun(sweep)
        return
    from batchlab.results.store.unpacked import opened

    with opened(archives) as store:
        yield store


@contextmanager
def listed(runs: Path, archives: Sequence[Path] | None) -> Iterator[RunStore]:
    """The runs that a command lists, of which there may be none yet, until the block ends.

    Args:
        runs: The folder that holds all runs.
        archives: What is read instead, where something is given.

    Raises:
        ValueError: A folder or an archive that was named and is not there, or cannot be read.
    """
    if not archives:
        yield listed_store(runs)
        return
    with reading(runs, archives) as store:
        yield store


def sweep_of(store: RunStore, archives: Sequence[Path] | None, sweep: str | None) -> str | None:
    """The sweep that is read: what was asked for, or the only one of archives."""
    return sweep if sweep is not None or not archives else store.only_sweep()


def check_trains_nothing(
    recorded: bool,
    archives: Sequence[Path] | None,
    until_decided: bool,
    deciding: Deciding,
    options: SweepOptions,
) -> None:
    """See that nothing is asked for that only training can give.

    Raises:
        ValueError: Naming what is.
    """
    if recorded and archives:
        raise ValueError("--recorded reads what comes with batchlab, --from what you name: leave one of them out")
    asked = ["until_decided"] if until_decided else []
    for given in (deciding, options):
        asked += [field.name for field in fields(given) if getattr(given, field.name) != field.default]
    if asked:
        named = listing([f"--{name.replace('_', '-')}" for name in asked])
        raise ValueError(f"{'--recorded' if recorded else '--from'} trains nothing: leave out {named}")


def conclude(paper: str, scale: str, archives: Sequence[Path] | None, runs: Path, printing: Printing) -> int:
    """Print the verdicts of papers from archives, and save their plots.

    Args:
        paper: Its name, or `all`: those that there are at this scale.
        scale: Of its sweep.
        archives: What is read; None: what is recorded with batchlab.
        runs: The folder that holds all runs; plots go there.
        printing: How much is printed.

    Raises:
        ValueError: A paper that there is not, or that is not in the archives.
    """
    if archives is None:
        for name in _asked(paper, scale, recorded(), "recorded"):
            source = [archive_of(f"{name}-{scale}")]
            with reading(runs, source) as store:
                print_reproduction(store, name, f"{name}-{scale}", runs, printing, source=source)
        return 0
    with reading(runs, archives) as store:
        for name in _asked(paper, scale, store.sweeps(), f"in {store.name}"):
            print_reproduction(store, name, f"{name}-{scale}", runs, printing, source=archives)
    return 0


def _asked(paper: str, scale: str, sweeps: Sequence[str], where: str) -> list[str]:
    """The papers that are asked for.

    Raises:
        ValueError: One that there is not, or none at this scale.
    """
    from batchlab.results.papers.catalogue import known_papers

    known = known_papers()
    if paper != "all" and paper not in known:
        raise ValueError(f"no paper {paper!r}: choose {', '.join(known)}")
    there = [name for name in known if f"{name}-{scale}" in sweeps]
    if paper == "all" and there:
        return there
    if paper in there:
        return [paper]
    named = {name: [known for known in Scale if f"{name}-{known}" in sweeps] for name in known}
    offered = [f"{name} --scale {'|'.join(scales)}" for name, scales in named.items() if scales]
    raise ValueError(f"{paper} --scale {scale} is not {where}; there is {listing(offered) or 'nothing yet'}")


def print_reproduction(
    store: RunStore,
    paper: str,
    sweep: str,
    runs: Path,
    printing: Printing,
    apart: str = "",
    source: Sequence[Path] = (),
) -> None:
    """Print a paper's verdicts, and every table and claim where that is asked for; save its plots and its report.

    A report takes as long as all the rest: of archives, which are looked at for seconds, the command for one is said.

    Args:
        store: Where its runs are.
        paper: Its name.
        sweep: The name of its sweep.
        runs: The folder that holds all runs; plots and report go there.
        printing: How much is printed.
        apart: The command that trains each of its runs alone; empty where they came from elsewhere.
        source: The archives that they came from.
    """
    from batchlab.results.show.claims_sheet import undecided_by_shared_times
    from batchlab.results.show.render import print_sheets

    with busy("judging the claims", logged=False):
        from batchlab.results.papers.catalogue import reproduce
        from batchlab.results.show.headline import headline_sheet

        made = reproduce(store, paper, sweep)
        short = None if printing.full else made.first().brief or headline_sheet(made.claims, made.reference)
    print_sheets([short] if short else made.sheets(), wide=printing.wide)
    if apart and (why := undecided_by_shared_times(made.claims)):
        _note(f"{why}: `{apart}` trains each alone")
    with busy("drawing its plots", logged=False):
        paths = made.save_plots(runs / "plots")
    if paths:
        more = f" to {paths[-1].name}" if len(paths) > 1 else ""
        OUT.print(Text(f"{'plots' if more else 'plot'}: {paths[0]}{more}"))
    if source:
        command = shlex.join(["batchlab", "report", *(word for path in source for word in ("--from", str(path)))])
        OUT.print(Text(f"report: `{command}`"))
        return
    with busy("writing the report", logged=False):
        from batchlab.results.report.write import write_report

        written = write_report(store, runs / "reports" / f"{sweep}.html", sweep=sweep)
    OUT.print(Text(f"report: {written}"))


def _note(line: str) -> None:
    OUT.print(Text(line, style="yellow"))


def _are(n: int) -> str:
    return f"{count(n, 'run')} {'is' if n == 1 else 'are'}"


def _named(run_ids: Sequence[str]) -> str:
    more = f" and {len(run_ids) - NAMED:,} more" if len(run_ids) > NAMED else ""
    return f"{' '.join(run_ids[:NAMED])}{more}"
