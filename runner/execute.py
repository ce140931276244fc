"""What is asked for: composed, checked, and trained or only counted.

Of `train`, `sweep` and `reproduce`, at the prompt and in a notebook; imports stand where they are needed.
"""

from __future__ import annotations

import gc
import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from batchlab.results.store.runs import UNASKED, Asked, RunStore
from batchlab.results.words import count
from batchlab.runner.console import OUT, busy
from batchlab.runner.options import GridOptions, SweepOptions, usual_runs

if TYPE_CHECKING:
    from batchlab.runner.plan.config import Planned

COMPOSING = "composing the runs"
TOGETHER = 500
"""Lines that are printed at a time: rich takes as long for one."""


def composed(overrides: Sequence[str], grid: GridOptions | None = None) -> list[Planned]:
    """The runs that the overrides ask for.

    They stay until the command ends: the interpreter looks for no cycles among them, neither now nor ever after.
    """
    with busy(COMPOSING, logged=False):
        from batchlab.runner.plan.config import compose

        gc.disable()
        try:
            return compose(overrides, options=grid)
        finally:
            gc.freeze()
            gc.enable()


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
    notes: Sequence[str] = (),
    asked: Asked = UNASKED,
) -> int:
    """Check all runs, then train what is left of them.

    Args:
        plans: the runs.
        runs: the folder that holds all runs.
        options: how to go about it.
        name: of the sweep, whose manifest is written; None for a run alone.
        follow: print every row of metrics as it arrives.
        extend: other runs that a sweep of this name has stay in it.
        notes: what is said of the sweep, in what it has to show.
        asked: the command that asks for it.

    Returns:
        The exit code: 0 done, 1 some run failed, 130 interrupted.

    Raises:
        ConfigError: a run that cannot work; nothing was started then.
    """
    if options.dry_run:
        return dry_run(plans, runs, options, name or plans[0].run_id, extend=extend)
    from batchlab.runner.training import Training

    with Training(plans, runs, options, follow=follow) as training:
        report = training.train(plans, name or plans[0].run_id, extend=extend, notes=notes, asked=asked)
    if name is not None:
        hint(name, runs)
    return report.exit_code


def hint(sweep: str, runs: Path) -> None:
    """Say how to look at a sweep."""
    hints = f"`batchlab status {sweep}{there(runs)}`, `batchlab table --sweep {sweep}{there(runs)}`"
    OUT.print(Text(f"sweep {sweep} in {runs}: {hints}"))


def there(runs: Path) -> str:
    """The option that names the folder of all runs, where a command needs it, after a space."""
    usual = usual_runs() or Path("runs")
    return "" if runs == usual else f" --runs {shlex.quote(str(runs))}"


def dry_run(
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
    from batchlab.runner.plan.blocks import OfBlocks
    from batchlab.runner.plan.reading import awaited
    from batchlab.runner.stale import Staleness
    from batchlab.runner.training import check, checking
    from batchlab.runner.waiting import grouping

    store = RunStore(runs)
    with busy(checking(plans), logged=False):
        before = look(plans, store, Staleness(store, options), options)  # before their code is imported
        others = joined(plans, store, name, extend=extend)[1] if name else ""
        # it refuses what could never be placed
        executor = executor_for([p.tree for p in plans], options.jobs_per_device, options.fuse)
        later = OfBlocks(awaited)
        checked = plans if before.left or before.held else []  # where all is over, torch is not waited for
        at_hand, elsewhere = ([p for p in checked if later(p.tree["dataset"]) is asked] for asked in (False, True))
        check(at_hand)
        check(elsewhere, data_at_hand=False)
    for start in range(0, len(plans), TOGETHER):
        lines = []
        for planned in plans[start : start + TOGETHER]:
            word = before.word(planned.run_id)
            line = Text(f"{planned.run_id}  {title(planned)}")
            lines.append(line.append(f"  {word}", "dim") if word else line)
        OUT.print(Text("\n").join(lines))
    for note in [*([others] if others else []), *before.notes]:
        OUT.print(Text(note, style="yellow"))
    if len(before.left) > 1:
        OUT.print(Text(str(grouping(before, executor, options))))
    said = f"{count(len(plans), 'run')}{', all valid' if checked else ''}: {before.tally()}"
    OUT.print(f"{said}; nothing was started", style="bold")
    if elsewhere:
        names = sorted({p.tree["dataset"]["name"] for p in elsewhere})
        how = f" (`batchlab data prepare {' '.join(names)}`)"
        OUT.print(Text(f"not checked against the data, which is not here yet: {', '.join(names)}{how}"))
    return 0
