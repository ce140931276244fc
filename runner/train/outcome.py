"""How a run ends, the same for models that are trained and problems that are solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run, State, now
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
    """Write down how a run ended: its facts, then its rows sealed, its state, and last the checkpoint removed.

    Killed at any point in between, the run goes on from its checkpoint, or is over with everything in place.

    Args:
        run: whose files they are; only one process calls this.
        outcome: how it ended.
        recorder: of the run; closed by a run that is over.
        facts: entries of run.json (see `facts`).
    """
    run.write_state(**facts)
    if outcome.over:
        tree = read_tree(run.config)
        recorder.seal(axes_of(tree) | {"run_id": run.run_id}, tree)
    run.write_state(state=outcome.state, reason=outcome.reason, ended=now())
    if outcome.over:
        run.checkpoint.unlink(missing_ok=True)
