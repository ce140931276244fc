"""Training of several batches of runs, one after the other, by one warm process and under one display."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.text import Text

from batchlab.results.store.run import FINISHED
from batchlab.results.store.runs import RunStore
from batchlab.runner.console import ERR, OUT
from batchlab.runner.display import Display
from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.options import OnError, SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.sweep import Report, freeze, run_sweep


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
        self.executor = executor_for([p.tree for p in plans], options.jobs_per_device)
        self.store = RunStore(runs).prepare()
        self.options = options
        self.display = Display(OUT, live=OUT.is_terminal and not follow, follow=follow)
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
        """Those that are not over."""
        return [p for p in plans if self.store.run(p.run_id).read_state().state not in FINISHED]

    def ready(self, plans: Sequence[Planned]) -> None:
        """Check all plans of the training, once, where some of these are left.

        Raises:
            ConfigError: a run that cannot work.
        """
        if not self.checked and self.left(plans):
            self.executor.warm_up()  # it imports torch on the other core while this process checks the runs
            check(self.plans)
            self.checked = True

    def _kept(self, plans: Sequence[Planned], name: str) -> Sequence[Planned]:
        """All runs of a sweep that was decided in looks: who trains its first ones again takes no verdict back."""
        if self.store.plan(name) is None or name not in self.store.sweeps():
            return plans
        own = {planned.run_id for planned in plans}
        entries = [entry for entry in self.store.sweep(name).entries if entry.run_id not in own]
        return [*plans, *(Planned(e.run_id, {}, tuple(e.overrides), e.labels) for e in entries)]

    def train(
        self, plans: Sequence[Planned], name: str, among: Sequence[Planned] = (), deadline: float = math.inf
    ) -> Report:
        """Train what is left of these runs; blocks until that is done or stopped.

        Before the first that is left, all plans of the training are checked.

        Args:
            plans: the runs, of methods that are among those plans.
            name: of the sweep.
            among: all runs of the sweep, where these are only some of them.
            deadline: see `run_sweep`.

        Raises:
            ConfigError: a run that cannot work; nothing was started then.
        """
        self.ready(plans)
        freeze(self.store, name, plans, among or self._kept(plans, name))
        stop = self.options.on_error is OnError.STOP
        report = run_sweep(
            plans,
            self.store,
            self.executor,
            self.display,
            retry=self.options.retry,
            stop_on_error=stop,
            deadline=deadline,
        )
        self.display.close()
        OUT.print(self.display.summary(), style="bold")
        return report


def check(plans: Sequence[Planned], *, data_at_hand: bool = True) -> None:
    """Validate runs and print the warnings.

    Args:
        plans: the runs.
        data_at_hand: whether their data sets can be loaded.

    Raises:
        ConfigError: a run that cannot work.
    """
    from batchlab.runner.plan.validate import validate

    for warning in validate(plans, data_at_hand=data_at_hand):
        ERR.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
