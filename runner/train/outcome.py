"""How a run ends, the same for models that are trained and problems that are solved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchlab.results.store.record import Recorder
from batchlab.results.store.run import SECONDS, Run, State, now
from batchlab.runner.plan.schema import axes_of, read_tree


@dataclass(frozen=True)
class Outcome:
    """How a run ended: done, diverged or interrupted."""

    state: State
    reason: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do; an interrupted run goes on from its checkpoint."""
        return self.state is not State.INTERRUPTED


def settle(run: Run, outcome: Outcome, recorder: Recorder, facts: Mapping[str, Any]) -> None:
    """Write down how a run ended: its rows sealed, its facts and its state at once, and last the checkpoints removed.

    Killed at any point in between, the run goes on from its checkpoint, or is over with everything in place.

    Args:
        run: whose files they are; only one process calls this.
        outcome: how it ended.
        recorder: of the run; closed by a run that is over.
        facts: entries of run.json (see `facts`).
    """
    began = time.perf_counter()
    spent: dict[str, float] = facts.get(SECONDS) or {}

    def ends() -> dict[str, Any]:
        seconds = spent | {"write": round(spent.get("write", 0.0) + time.perf_counter() - began, 3)}
        return {"state": outcome.state, "reason": outcome.reason, "ended": now(), SECONDS: seconds}

    if not outcome.over:
        run.write_state(**(dict(facts) | ends()))
        return
    tree = read_tree(run.config)
    recorder.seal(axes_of(tree) | {"run_id": run.run_id}, tree, facts, ends)
    for path in run.checkpoints:
        path.unlink(missing_ok=True)
