"""batchlab from Python: train a sweep, read runs as pandas, make a table. What `import batchlab` offers.

Each function does what the command of its name does, and raises the ValueError that the command would print.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchlab.results.show.sheet import Format, Sheet

if TYPE_CHECKING:
    import pandas as pd


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


def listed(words: str | Iterable[str]) -> list[str]:
    """A list of words, also where one was given alone; overrides in one text are told apart by spaces."""
    return words.split() if isinstance(words, str) else list(words)


def sweep(
    overrides: str | Sequence[str],
    runs: str | Path = "runs",
    *,
    name: str | None = None,
    retry: bool = False,
    trust_code: bool = False,
    rerun: bool = False,
) -> pd.DataFrame:
    """Train every combination that the overrides ask for; what is done is skipped, what was cut off is resumed.

    Blocks until all has ended; an interrupt stops the runs at their checkpoints.

    Args:
        overrides: in Hydra's grammar: ["optimizer=shb,nshb", "seed=range(0,3)"], or one text with spaces between.
        runs: the folder that holds all runs.
        name: what to call the sweep; one that is there grows. By default the same overrides have the same name.
        retry: start failed runs again.
        trust_code: take runs of other code or data as they are, instead of training them anew.
        rerun: train every run from its beginning, done or not.

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
    from batchlab.runner import commands
    from batchlab.runner.options import SweepOptions
    from batchlab.runner.plan.config import compose

    plans = compose(listed(overrides))
    options = SweepOptions(retry=retry, trust_code=trust_code, rerun=rerun)
    called = commands.name_of(plans) if name is None else name
    code = commands.execute(plans, Path(runs), options, called, extend=name is not None)
    if code == 130:
        raise KeyboardInterrupt
    store = RunStore(Path(runs))
    states = {plan.run_id: store.run(plan.run_id).read_state() for plan in plans}
    lost = [f"{run_id} {state.state}: {state.reason}" for run_id, state in states.items() if state.state != State.DONE]
    if lost:
        warnings.warn(f"not done: {'; '.join(lost)}", stacklevel=2)
    return load_rows(runs, sweep=called)


def load_rows(
    runs: str | Path = "runs",
    *,
    sweep: str | None = None,
    where: str | Iterable[str] = (),
    keys: str | Iterable[str] = (),
) -> pd.DataFrame:
    """Runs as one DataFrame: a row per evaluation, with the run's state, axes and labels as columns.

    Args:
        runs: the folder that holds all runs.
        sweep: only the runs of this sweep.
        where: conditions `AXIS=VALUE` or `AXIS=VALUE,VALUE`, on an axis, a label or a dotted configuration key.
        keys: dotted configuration keys that become columns too (`optimizer.lr`).

    Returns:
        The rows; none where no run meets the conditions.

    Raises:
        ValueError: a folder or a sweep that is not there, an axis or a key that no run has, conditions that none meets.

    Warns:
        UserWarning: a file is damaged; the message names it and the way out.
    """
    from batchlab.results.compare.load import load
    from batchlab.results.store.runs import RunStore

    frame = load(RunStore(Path(runs)).there(), sweep, where=listed(where))
    for problem in frame.problems:
        warnings.warn(problem, stacklevel=2)
    return frame.to_pandas(*listed(keys))


def table(
    runs: str | Path = "runs",
    *,
    rows: str | Iterable[str] = ("optimizer",),
    cols: str | Iterable[str] = (),
    metrics: str | Iterable[str] = ("test_accuracy",),
    where: str | Iterable[str] = (),
    baseline: str | Iterable[str] | None = None,
    tuned: str | None = None,
    sweep: str | None = None,
) -> Shown:
    """Compare: mean and standard deviation over seeds, n, 95 % interval; diverged and failed runs are counted.

    Args:
        runs: the folder that holds all runs.
        rows: axes, labels or dotted configuration keys.
        cols: the same, for columns.
        metrics: `test_accuracy`, `min:test_loss`, `steps_to:test_accuracy>=0.9`, ...
        where: conditions `AXIS=VALUE` or `AXIS=VALUE,VALUE`.
        baseline: `AXIS=VALUE`, several of them as a list, which every other cell is tested against.
        tuned: a key (`optimizer.lr`) whose value is chosen for each cell, by the first metric, on the first half of the
            seeds; the others are judged.
        sweep: only the runs of this sweep.

    Returns:
        What a notebook shows as a table, and `print` as text; `.to("latex")`, `.to_pandas()`.

    Raises:
        ValueError: an axis, metric or baseline that no run has, conditions that none meets, a folder without runs.
    """
    from batchlab.results.compare.table import load_table
    from batchlab.results.show.table_sheet import table_sheet
    from batchlab.results.store.runs import RunStore

    made = load_table(
        RunStore(Path(runs)).begun(sweep),
        rows=listed(rows),
        cols=listed(cols),
        metrics=listed(metrics),
        where=listed(where),
        baseline=",".join(listed(baseline or [])) or None,
        tuned=tuned,
        sweep=sweep,
    )
    return Shown(table_sheet(made))


runs = load_rows  # the arguments above are called runs, too
