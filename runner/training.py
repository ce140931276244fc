"""Training of several batches of runs, one after the other, by one warm process and under one display."""

from __future__ import annotations

import gc
import importlib
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from rich.text import Text

from batchlab.results.store.runs import UNASKED, Asked, RunStore
from batchlab.results.words import count
from batchlab.runner.before import joined
from batchlab.runner.console import ERR, OUT, busy
from batchlab.runner.display import Display
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.policies import Policies
from batchlab.runner.scheduler import Report
from batchlab.runner.stale import Staleness
from batchlab.runner.sweep import freeze, recorded, run_sweep
from batchlab.runner.timing import Timing


class Training:
    """Trains runs of one executor; `with` ends its processes and the display.

    Args:
        plans: runs of every method that may be asked for, at any seed.
        runs: the folder that holds all runs.
        options: how to go about it.
        follow: print every row of metrics as it arrives.

    Raises:
        ConfigError: runs that cannot be placed here.
    """

    def __init__(self, plans: Sequence[Planned], runs: Path, options: SweepOptions, *, follow: bool = False) -> None:
        self.executor = executor_for([p.tree for p in plans], options.jobs_per_device, options.fuse)
        if options.detach and not self.executor.queues:
            name = plans[0].tree["executor"]["name"]
            raise ConfigError(f"--detach: executor={name} has no queue that could keep the runs; try executor=slurm")
        self.timing = Timing(self.executor)
        self.options = options
        self.store = RunStore(runs)
        self.staleness = Staleness(self.store, options)
        self.closed: ValueError | None = None
        try:
            self.store.prepare()
        except ValueError as error:  # of runs that are all over there may be nothing to write
            if self.left(plans):
                raise
            self.closed = error
        self.display = Display(OUT, live=OUT.is_terminal and not follow, follow=follow)
        self.policies = Policies(options)
        self.plans = plans
        self.checked = False

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.close()
        self.executor.close()

    def left(self, plans: Sequence[Planned]) -> list[Planned]:
        """Those that are not over, or stale."""
        return [p for p in plans if not self.staleness.finished(p, self.staleness.state(p.run_id))]

    def ready(self, plans: Sequence[Planned]) -> None:
        """Check all plans of the training, once, where some of these are left.

        Raises:
            ConfigError: a run that cannot work.
        """
        if not self.checked and self.left(plans):
            with busy(checking(self.plans)):
                self.staleness.look(self.plans)
                self.executor.warm_up()  # it imports torch on the other core while this process checks the runs
                check(self.plans)
                self.staleness.look_again_at_data(self.plans)
            self.checked = True

    def train(
        self,
        plans: Sequence[Planned],
        name: str,
        among: Sequence[Planned] = (),
        deadline: float = math.inf,
        *,
        extend: bool = False,
        notes: Sequence[str] = (),
        asked: Asked = UNASKED,
    ) -> Report:
        """Train what is left of these runs; blocks until that is done or stopped.

        Before the first that is left, all plans of the training are checked.

        Args:
            plans: the runs, of methods that are among those plans.
            name: of the sweep.
            among: all runs of the sweep, where these are only some of them.
            deadline: see `run_sweep`.
            extend: other runs that a sweep of this name has stay in it.
            notes: what is said of the sweep.
            asked: the command that asks for it.

        Raises:
            ConfigError: a run that cannot work, or a name that is taken; nothing was started then.
        """
        self.ready(plans)
        if not among:
            among, others = joined(plans, self.store, name, extend=extend)
            asked = replace(asked, part=len(among) > len(plans))
            if others:
                self.display.note(others)
        if self.closed is None:
            freeze(self.store, name, plans, among, self.staleness, notes, asked)
        elif not recorded(self.store, name, among):
            raise self.closed
        report = run_sweep(
            plans,
            self.store,
            self.executor,
            self.display,
            policies=self.policies,
            deadline=deadline,
            staleness=self.staleness,
            detach=self.options.detach,
            timing=self.timing,
        )
        if not report.detached:
            self.timing.keep(self.store, name)
        self.display.close()
        if not report.detached:
            OUT.print(self.display.summary(), style="bold")
        return report


def checking(plans: Sequence[Planned]) -> str:
    """What is done while runs are checked, in words."""
    return f"checking {count(len(plans), 'run')}"


def check(plans: Sequence[Planned], *, data_at_hand: bool = True) -> None:
    """Validate runs and print the warnings.

    Args:
        plans: the runs.
        data_at_hand: whether their data sets can be loaded.

    Raises:
        ConfigError: a run that cannot work.
    """
    if not plans:  # nobody waits for torch
        return
    from batchlab.runner.plan.validate import validate

    def say(note: str) -> None:
        ERR.print(Text(note, style="dim"))

    for warning in validate(plans, data_at_hand=data_at_hand, say=say):
        ERR.print(Text(f"warning: {warning}", style="yellow"))


def import_torch() -> None:
    """Import torch, and where this is the first time look for no cycles among all that it is made of, ever after.

    The interpreter would, several times, in order to end: the prompt came back seconds later.
    """
    if "torch" not in sys.modules:
        importlib.import_module("torch")
        gc.freeze()
