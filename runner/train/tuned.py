"""`optimizer.step_size=tuned`: P* and the step size by the library's rule, found before a run begins.

Neither depends on the run's seed: trials draw with seed 0. So they are found once for runs that differ in nothing but
their seed, and kept in `.tuned` beside the runs' folders. That file only saves time: without it they are found again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchlab.optimizers.finite_sum import LinearProblem, Solver, minimum, tune
from batchlab.results.store.atomic import replace_json
from batchlab.runner.plan.schema import RunConfig

SEED = 0
GAP = 1e-8
"""The rule: the fewest passes to this gap."""
ROUNDING = 1e-13
"""A run that knows P* ends at this gap. P* itself is certified to 1e-12."""


@dataclass(frozen=True)
class Choice:
    """The step size that was chosen, and what it was chosen from. Written into run.json."""

    step_size: float
    optimum: float
    """P*, to a duality gap of 1e-12."""
    seed: int
    gap: float
    trials: list[dict[str, float | None]]
    """step_size, passes, gap at the end of each trial; `passes_to_gap`, None where it did not get there."""


def choose(make: Callable[[float, int], Solver[Any, Any]], config: RunConfig, passes: float, folder: Path) -> Choice:
    """The step size of a run and P* of its problem.

    Args:
        make: the solver with a step size and a seed.
        passes: budget of a trial, the run's own.
        folder: where the runs lie.
    """
    settings = {k: v for k, v in config.optimizer.items() if k != "step_size"}
    problem = make(1.0, SEED).problem
    assert isinstance(problem, LinearProblem)
    optimum = _once(folder, ["optimum", problem.settings()], lambda: _optimum(problem))

    def trials() -> dict[str, Any]:
        tuning = tune(lambda step: make(step, SEED), optimum=optimum, passes=passes, gap=GAP)
        ends = [(trial, trial.result.records[-1]) for trial in tuning.trials]
        shown = [
            {
                "step_size": trial.step_size,
                "passes": end.passes,
                "gap": end.gap if math.isfinite(end.gap) else None,
                "passes_to_gap": trial.reached.passes if trial.reached else None,
            }
            for trial, end in ends
        ]
        return asdict(Choice(tuning.best.step_size, optimum, SEED, GAP, shown))

    key = ["step", problem.digest, settings, config.batch_schedule, config.train.loss, passes]
    return Choice(**_once(folder, key, trials))


def _optimum(problem: LinearProblem) -> float:
    return minimum(problem).records[-1].value


def _once(folder: Path, key: list[Any], find: Callable[[], Any]) -> Any:
    """What `find` finds, or what it found for the same key before. Two that search at the same time find the same."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / ".tuned" / f"{name}.json"
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        pass
    found = find()
    path.parent.mkdir(exist_ok=True)
    replace_json(path, found)
    return found
