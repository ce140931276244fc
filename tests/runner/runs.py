"""Runs for tests: composed like a user's, trained in this process or by one warm process that all tests share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from batchlab.results.store.run import Run, RunState, State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.local import LocalExecutor, Slots
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.policies import Policies
from batchlab.runner.scheduler import Report
from batchlab.runner.sweep import freeze, run_sweep
from batchlab.runner.train import loop
from batchlab.runner.train.outcome import Outcome
from batchlab.runner.train.rank import Context

TINY = ("dataset=digits", "model=mlp", "model.hidden=[16]", "train.epochs=1", "train.device=cpu")
"""Overrides of a run that trains in a tenth of a second."""
HANGS = 400.0
"""Seconds after which a process is taken to hang."""
PATIENT = "import batchlab.runner.launch.process as process; process.STOP_GRACE = 10_000\n"
"""As sitecustomize.py: nobody is killed for being slow, so that a test sees who waits for whom and not for how long."""


def one(*overrides: str) -> Planned:
    """The single run of these overrides on top of TINY; a key given here replaces TINY's."""
    keys = {o.lstrip("+~").split("=", 1)[0] for o in overrides}
    kept = [t for t in TINY if not {t.split("=", 1)[0], t.split(".", 1)[0]} & keys]
    (planned,) = compose([*kept, *overrides])
    return planned


def refused(*overrides: str) -> str:
    """What is said, in one line, of overrides that compose no run."""
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def frozen(root: Path, *overrides: str) -> tuple[Run, RunConfig]:
    """A run's folder with its configuration frozen in it, ready to train."""
    planned = one(*overrides)
    run = RunStore(root).run(planned.run_id)
    run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
    return run, RunConfig.load(run.config)


def context(run: Run) -> Context:
    """The only rank, on the CPU, in this process."""
    return Context(run, 0, 1, torch.device("cpu"))


def trained(run: Run, config: RunConfig, stop_after: int | None = None) -> str:
    """The state in which training in this process ends; told to stop after so many steps."""
    here, step, taken = context(run), loop.step, 0

    def counted(*args: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == stop_after:
            here.stop()
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", counted)
        return loop.train(config, here).state


def solve(config: RunConfig, here: Context) -> Outcome:
    """How a finite-sum solver's run ends in this process."""
    from batchlab.runner.train.solve import solve_all

    return solve_all([config], [here])[0]


def same_in_parts(root: Path, *overrides: str) -> list[dict[str, Any]]:
    """The rows of a run, trained at once, and cut off after 9 steps and resumed: they are the same bit for bit."""
    ends = []
    for name, stop in (("whole", None), ("parts", 9)):
        run, config = frozen(root / name, *overrides)
        state = trained(run, config, stop)
        if stop:
            assert state == "interrupted"
            state = trained(run, config)
        assert state == "done"
        ends.append(rows(run))
    assert ends[0] == ends[1]
    return ends[0]


def rows(run: Run, *, times: bool = False) -> list[dict[str, Any]]:
    """The sealed rows of metrics; without the times, which no two runs share."""
    import pyarrow.parquet as pq

    table = pq.read_table(run.metrics).to_pylist()
    return table if times else [{k: v for k, v in r.items() if not k.endswith("_seconds")} for r in table]


def wait_until(condition: Callable[[], object], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until it holds; the limit only ends what hangs, and asks for no speed."""
    deadline = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < deadline, "this would never have come"
        time.sleep(0.05)
        meanwhile()


@dataclass
class Watcher:
    """An observer that remembers."""

    log: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)
    states: dict[str, RunState] = field(default_factory=dict)
    on_tick: Callable[[], None] = lambda: None
    at_once: int = 0
    most: int = 0

    def begin(self, total: int, done: int, left: int) -> None:
        """Nothing to remember."""

    def together(self, group: Sequence[Planned]) -> None:
        """Remember whom."""
        self.groups.append([planned.run_id for planned in group])

    def started(self, planned: Planned, run: Run, resumed: bool) -> None:
        """Count what runs at the same time."""
        self.log.append(("resumed" if resumed else "started", run.run_id))
        self.at_once += int(planned.tree["nproc"])
        self.most = max(self.most, self.at_once)

    def tick(self) -> None:
        """A test's chance to interfere."""
        self.on_tick()

    def ended(self, planned: Planned, run: Run, state: RunState) -> None:
        """Remember how."""
        self.log.append(("ended", run.run_id))
        self.states[run.run_id] = state
        if run.run_id in self.begun:  # not one that another process has trained
            self.at_once -= int(planned.tree["nproc"])

    def note(self, text: str) -> None:
        """Remember it."""
        self.notes.append(text)

    @property
    def begun(self) -> Counter[str]:
        """How often each run was started."""
        return Counter(run_id for what, run_id in self.log if what != "ended")


@dataclass
class Fleet:
    """One warm process for all tests, with as many device slots as a test asks for."""

    executor: LocalExecutor

    def sweep(
        self, root: Path, plans: Sequence[Planned], *, slots: int = 2, each: int = 1, **options: Any
    ) -> tuple[Report, Watcher]:
        """Freeze and run a sweep, as the command does."""
        watcher = options.pop("watcher", None) or Watcher()
        policies = Policies(options.pop("options", SweepOptions()))
        self.executor.slots = Slots([f"core{i}" for i in range(slots)], each)
        store = RunStore(root).prepare()
        freeze(store, "test", plans)
        return run_sweep(plans, store, self.executor, watcher, policies=policies, **options), watcher

    def train(self, root: Path, planned: Planned, **options: Any) -> Run:
        """One run that must end well."""
        _, watcher = self.sweep(root, [planned], slots=4, **options)
        run = RunStore(root).run(planned.run_id)
        state = run.read_state()
        assert state.state in (State.DONE, State.DIVERGED), (state, watcher.notes)
        return run
