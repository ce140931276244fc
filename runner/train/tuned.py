"""`optimizer.step_size=tuned`: P* and the step size by the library's rule, found before a run begins and kept on disk.

Neither depends on the run's seed: trials draw with seed 0. So they are found once for runs that differ in nothing but
their seed, and kept in `.tuned` beside the runs' folders. That file only saves time: without it they are found again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchlab.optimizers.finite_sum import LinearProblem, Solver, TunedStep, minimum, tuned_step
from batchlab.results.store.objects import parse_object, write_object
from batchlab.results.store.regular import content_of
from batchlab.results.store.shapes import has
from batchlab.runner.plan.schema import RunConfig

SEED = 0
"""Of the trials' draws."""


def tuned(make: Callable[[float, int], Solver[Any, Any]], config: RunConfig, passes: float, folder: Path) -> TunedStep:
    """The step size of a run and P* of its problem, as they are written into run.json.

    Args:
        make: the solver with a step size and a seed.
        config: of the run.
        passes: budget of a trial, the run's own.
        folder: where the runs lie.
    """
    problem = make(1.0, SEED).problem
    assert isinstance(problem, LinearProblem)
    optimum = _once(folder, ["optimum", problem.settings()], lambda: minimum(problem).value)
    settings = {k: v for k, v in config.optimizer.items() if k != "step_size"}
    key = ["step", problem.digest, settings, config.batch_schedule, config.train.loss, passes]

    def search() -> dict[str, Any]:
        return asdict(tuned_step(make, passes=passes, optimum=optimum, seed=SEED))

    return TunedStep(**_once(folder, key, search))


def _once(folder: Path, key: list[Any], find: Callable[[], Any]) -> Any:
    """What `find` finds, or what it found for the same key before. Two that search at the same time find the same."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / ".tuned" / f"{name}.json"
    try:
        return parse_object(content_of(path), has({}, "found"))["found"]
    except (OSError, ValueError):
        pass
    found = find()
    path.parent.mkdir(exist_ok=True)
    write_object(path, {"found": found})
    return found
