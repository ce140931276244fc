"""batchlab from Python: train a sweep, read runs as pandas, make tables and plots. What `import batchlab` offers.

Each function does what the command of its name does, and raises the ValueError that the command would print, or one
that names the argument.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchlab.results.show.sheet import Format, Sheet
from batchlab.runner.arguments import Folder, Words, folder, number_or_none, word, word_or_none, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shown:
    """A table as a notebook shows it.

    Attributes:
        sheet: what is shown.
    """

    sheet: Sheet

    def __str__(self) -> str:
        return self.to(Format.RICH)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.to(Format.HTML)

    def to(self, format: str) -> str:
        """As text: rich, markdown, latex, csv or html."""
        from batchlab.results.show.render import render

        return render(self.sheet, format)

    def to_pandas(self) -> pd.DataFrame:
        """Unrounded and unscaled, a row per cell of the table and metric."""
        import pandas as pd

        return pd.DataFrame(self.sheet.records)


def sweep(
    overrides: Words,
    runs: Folder = None,
    *,
    name: str | None = None,
    retry: bool = False,
    on_error: str = "continue",
    jobs_per_device: int | None = None,
    fuse: str | int | None = None,
    trust_code: bool = False,
    rerun: bool = False,
    timeout: str | None = None,
    max_runs: int | None = None,
    retries: int = 0,
    stop_after: str | None = None,
    retry_oom: bool = False,
    zip: Words = (),
    skip: Words = (),
    draws: int | None = None,
    search: str | None = None,
    search_seed: int | None = None,
    max_grid: int | None = None,
) -> pd.DataFrame:
    """Train every combination that the overrides ask for; what is done is skipped, what was cut off is resumed.

    Blocks until all has ended; an interrupt stops the runs at their checkpoints.

    Args:
        overrides: in Hydra's grammar: ["optimizer=shb,nshb", "seed=range(0,3)"], or one text with spaces between.
        runs: the folder that holds all runs; None: what BATCHLAB_RUNS names, else `runs`.
        name: what to call the sweep; one that is there grows. By default the same overrides have the same name.
        retry: start failed runs again.
        on_error: after a failure `continue` with the other runs, or `stop`.
        jobs_per_device: runs that share a device; None: as the executor says.
        fuse: how many runs that differ in numbers alone train in one process, `auto`, `off` or a number; None: as the
            executor says.
        trust_code: take runs of other code or data as they are, instead of training them anew.
        rerun: train every run from its beginning, done or not.
        timeout: of each start of a run, `30m`, `2h` or seconds, as a text; it is stopped at a checkpoint then.
        max_runs: so many are started at most.
        retries: so often a run that fails or crashes is started again.
        stop_after: failures, `5`, or a share of the runs, `10%`, as a text, after which nothing more is started.
        retry_oom: what was out of memory is tried again at half its micro-batch.
        zip: keys that move together, with commas between; several groups of them as a list.
        skip: conditions `AXIS=VALUE,AXIS=VALUE`; what meets all of one is left out.
        draws: points of the keys with `interval(LOW,HIGH)`.
        search: how they are chosen, `halton` (the default) or `random`.
        search_seed: other points for another one.
        max_grid: so many runs a grid may have; None: 100,000.

    Returns:
        The rows of these runs, as `runs` gives them.

    Raises:
        ValueError: a request that cannot be run; nothing was started then.
        KeyboardInterrupt: interrupted; the same call goes on.

    Warns:
        UserWarning: some runs are not done, and why.
    """
    from batchlab.results.store.run import State
    from batchlab.results.store.runs import RunStore
    from batchlab.runner import execute, typed
    from batchlab.runner.options import GridOptions, OnError, Search, SweepOptions
    from batchlab.runner.plan.checks import check_choice
    from batchlab.runner.plan.config import compose

    check_choice("on_error", on_error, [*OnError])
    if search is not None:
        check_choice("search", search, [*Search])
    grid = GridOptions(
        words("zip", zip),
        words("skip", skip),
        number_or_none("draws", draws, 1),
        None if search is None else Search(search),
        number_or_none("search_seed", search_seed),
        number_or_none("max_grid", max_grid, 1),
    )
    options = SweepOptions(
        retry=retry,
        on_error=OnError(on_error),
        jobs_per_device=number_or_none("jobs_per_device", jobs_per_device, 1),
        fuse=None if fuse is None else str(fuse),
        trust_code=trust_code,
        rerun=rerun,
        timeout=word_or_none("timeout", timeout),
        max_runs=number_or_none("max_runs", max_runs, 1),
        retries=number_or_none("retries", retries) or 0,
        stop_after=word_or_none("stop_after", stop_after),
        retry_oom=retry_oom,
    )
    where, named = folder(runs), word_or_none("name", name)
    wanted = words("overrides", overrides)
    plans = compose(wanted, options=grid)
    called = execute.name_of(plans) if named is None else named
    code = execute.execute(
        plans, where, options, called, extend=name is not None, asked=typed.sweep(wanted, grid, named)
    )
    if code == 130:
        raise KeyboardInterrupt
    store = RunStore(where)
    states = {plan.run_id: store.run(plan.run_id).read_state() for plan in plans}
    lost = [f"{run_id} {state.state}: {state.reason}" for run_id, state in states.items() if state.state != State.DONE]
    if lost:
        warnings.warn(f"not done: {'; '.join(lost)}", stacklevel=2)
    return load_rows(where, sweep=called)


def load_rows(
    runs: Folder = None,
    *,
    sweep: str | None = None,
    where: Words = (),
    others: Words = (),
    keys: Words = (),
) -> pd.DataFrame:
    """Runs as one DataFrame: a row per evaluation, with what sets the runs apart as columns.

    These are the run's state, axes and labels, and every key that a sweep gave values to (`optimizer.lr`, beside `lr`,
    which the schedule has made of it); where a run has no such key, there is none (NaN).

    Args:
        runs: the folder that holds all runs; None: what BATCHLAB_RUNS names, else `runs`.
        sweep: only the runs of this sweep.
        where: conditions `AXIS=VALUE` or `AXIS=VALUE,VALUE`, on an axis, a label or a dotted configuration key, that
            must all hold.
        others: each an alternative to all of these, `AXIS=VALUE,AXIS=VALUE`.
        keys: further dotted configuration keys that become columns (`train.precision`).

    Returns:
        The rows; none where no run meets the conditions.

    Raises:
        ValueError: a folder or a sweep that is not there, an axis or a key that no run has, conditions that none meets.

    Warns:
        UserWarning: a file is damaged; the message names it and the way out.
    """
    from batchlab.results.compare.load import load, swept_keys
    from batchlab.results.compare.where import Where
    from batchlab.results.store.runs import RunStore

    store = RunStore(folder(runs)).there()
    frame = load(store, word_or_none("sweep", sweep), where=Where.parse(words("where", where), words("others", others)))
    for problem in frame.problems:
        warnings.warn(problem, stacklevel=2)
    return frame.to_pandas(*swept_keys(store, frame, sweep), *words("keys", keys))


def table(
    runs: Folder = None,
    *,
    rows: Words = (),
    cols: Words = (),
    metrics: Words = (),
    where: Words = (),
    others: Words = (),
    baseline: Words | None = None,
    tuned: str | None = None,
    sweep: str | None = None,
) -> Shown:
    """Compare: mean and standard deviation over seeds, n, 95 % interval; diverged and failed runs are counted.

    Args:
        runs: the folder that holds all runs; None: what BATCHLAB_RUNS names, else `runs`.
        rows: axes, labels or dotted configuration keys; none: what the sweep gave values to.
        cols: the same, for columns.
        metrics: `test_accuracy`, `min:test_loss`, `steps_to:test_accuracy>=0.9`, ...; none: what was measured.
        where: conditions `AXIS=VALUE` or `AXIS=VALUE,VALUE` that must all hold.
        others: each an alternative to all of these, `AXIS=VALUE,AXIS=VALUE`.
        baseline: `AXIS=VALUE`, several of them as a list, which every other cell is tested against.
        tuned: a key (`optimizer.lr`) whose value is chosen for each cell on the first half of the seeds, by the first
            metric, or by validation in the place of a test metric where it was recorded; the others are judged.
        sweep: only the runs of this sweep.

    Returns:
        What a notebook shows as a table, and `print` as text; `.to("latex")`, `.to_pandas()`.

    Raises:
        ValueError: an axis, metric or baseline that no run has, conditions that none meets, a folder without runs.
    """
    from batchlab.results.compare.table import load_table
    from batchlab.results.compare.where import Where
    from batchlab.results.show.table_sheet import table_sheet
    from batchlab.results.store.runs import RunStore

    made = load_table(
        RunStore(folder(runs)).begun(word_or_none("sweep", sweep)),
        rows=words("rows", rows),
        cols=words("cols", cols),
        metrics=words("metrics", metrics),
        where=Where.parse(words("where", where), words("others", others)),
        baseline=",".join(words("baseline", baseline or [])) or None,
        tuned=word_or_none("tuned", tuned),
        sweep=sweep,
    )
    return Shown(table_sheet(made))


def plot(
    runs: Folder = None,
    *,
    metric: str = "test_accuracy",
    x: Words = ("samples",),
    hue: Words = (),
    panel: str | None = None,
    kind: str = "curves",
    problems: Words = (),
    scale: str | None = None,
    ylim: tuple[float, float] | None = None,
    where: Words = (),
    others: Words = (),
    sweep: str | None = None,
) -> Figure:
    """Draw a metric: the mean over seeds with its 95 % band; a run that diverged is a thin line that ends in a cross.

    Args:
        runs: the folder that holds all runs; None: what BATCHLAB_RUNS names, else `runs`.
        metric: what to plot.
        x: against what: samples, steps, epochs, passes, gradients, seconds or flops; several are panels side by side.
            Or a key that was swept (`optimizer.lr`), which the end of the runs is drawn against.
        hue: axes, labels or dotted configuration keys: a line for each of their values, or combinations;
            none: what the runs differ in, with panels for data sets.
        panel: another one: panels for each of its values.
        kind: `curves`, or what is drawn of contenders (`hue`) over problems: `profile`, `iqm`, `improvement` or
            `ranking`.
        problems: axes that make a problem; by default model and dataset, where they vary.
        scale: of the y-axis: `linear` or `log`; None: as the metric asks.
        ylim: ends of the y-axis, as it shows them; None: room for what is drawn.
        where: conditions `AXIS=VALUE` or `AXIS=VALUE,VALUE` that must all hold.
        others: each an alternative to all of these, `AXIS=VALUE,AXIS=VALUE`.
        sweep: only the runs of this sweep.

    Returns:
        A matplotlib figure, which a notebook shows; `.savefig("plot.pdf")`.

    Raises:
        ValueError: a metric, a clock or an axis that there is not.

    Warns:
        UserWarning: what to know before reading the figure, which `batchlab plot` prints as notes.
    """
    from batchlab.results.compare.where import Where
    from batchlab.results.show.extent import Extent
    from batchlab.results.show.figure import load_figure
    from batchlab.results.show.kinds import AxisScale, Kind
    from batchlab.results.store.runs import RunStore
    from batchlab.runner.plan.checks import check_choice

    check_choice("kind", kind, [*Kind])
    if scale is not None:
        check_choice("scale", scale, [*AxisScale])
    drawn = load_figure(
        RunStore(folder(runs)).begun(word_or_none("sweep", sweep)),
        metric=word("metric", metric),
        x=words("x", x),
        hue=",".join(words("hue", hue)) or None,
        panel=word_or_none("panel", panel),
        kind=Kind(kind),
        problems=words("problems", problems),
        extent=Extent.parse(scale or "", "" if ylim is None else ",".join(map(str, ylim))),
        where=Where.parse(words("where", where), words("others", others)),
        sweep=sweep,
    )
    for note in drawn.notes:
        warnings.warn(note, stacklevel=2)
    figure = drawn.figure()
    _shown_by_notebooks()
    return figure


def _shown_by_notebooks() -> None:
    """Have IPython show figures: it learns how only where somebody has imported pyplot."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython
    from IPython.core.pylabtools import print_figure
    from matplotlib.figure import Figure

    if shell := get_ipython():
        pictures = shell.display_formatter.formatters["image/png"]
        if Figure not in pictures.type_printers:
            pictures.for_type(Figure, print_figure)


runs = load_rows  # the arguments above are called runs, too
