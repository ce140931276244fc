"""`batchlab runs export`: what was trained already, told to callbacks as if it happened now."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batchlab.results.axes import COLUMNS
from batchlab.results.store import parquet
from batchlab.results.store.record import read_stream
from batchlab.results.store.run import Run, Stream
from batchlab.results.words import count, listing
from batchlab.runner.console import OUT
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError, Node
from batchlab.runner.runs import Chosen

OVER = ("done", "diverged", "failed", "interrupted")
"""States of which a callback can be told the end."""


def export(chosen: Chosen, asked: Sequence[str]) -> int:
    """Tell callbacks of runs.

    Args:
        chosen: Which runs; those that are being trained, or did not begin, are passed over.
        asked: Names of callbacks, and overrides of their keys.

    Raises:
        ConfigError: No callback of this name, or one that fails.
    """
    names = [text for text in asked if "=" not in text]
    if not names:
        raise ConfigError("export to what? name callbacks: batchlab runs export tensorboard")
    (planned,) = compose([f"callback=[{','.join(names)}]", *(text for text in asked if "=" in text)])
    store = chosen.store
    there = [store.run(row.run_id) for row in chosen.frame(()).runs]
    ended = [run for run in there if run.config.exists() and not run.held() and run.read_state().state in OVER]
    for run in ended:
        tell(run, planned.tree["callback"])
    left = f"; {count(len(there) - len(ended), 'run')} not over" if len(ended) < len(there) else ""
    OUT.print(f"{listing(names)}: {count(len(ended), 'run')}{left}", style="bold")
    return 0


def tell(run: Run, nodes: Mapping[str, Node]) -> None:
    """Tell callbacks of one run, from its beginning.

    Args:
        run: that is over.
        nodes: name -> node of each callback.
    """
    from batchlab.runner.train.watchers import Watchers  # torch

    watchers, state = Watchers(nodes, run), run.read_state()
    watchers.start(None, anew=True)
    steps = ((row["samples"], 0, row) for row in written(run, "steps"))
    evaluations = ((row["samples"], 1, row) for row in written(run, "metrics"))
    for _, evaluation, row in heapq.merge(steps, evaluations, key=lambda item: item[:2]):
        (watchers.evaluate if evaluation else watchers.step)(row)
    watchers.end(state.state, state.reason)


def written(run: Run, stream: Stream) -> Iterator[dict[str, Any]]:
    """The rows of a stream as they were written, sealed or not."""
    if not run.sealed(stream).exists():
        yield from read_stream(run, stream)
        return
    for row in parquet.read(run.sealed(stream)).to_pylist():
        yield {key: value for key, value in row.items() if key not in COLUMNS and value is not None}
