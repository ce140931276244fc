"""`--skip 'optimizer=shb,optimizer.lr=1e-3'`: combinations that a sweep leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchlab.runner.plan.checks import ConfigError


class Skips:
    """Leaves out what meets all conditions of a text, and refuses a text that nothing meets."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        if not texts:  # what reads them needs numpy
            return
        from batchlab.results.compare.where import conditions
        from batchlab.results.store.run import State

        self.conditions = [conditions(text, "--skip") for text in texts]
        self.state = State.PENDING
        self.rows: list[Any] = []
        self.left_out = [0] * len(texts)

    def hit(self, run_id: str, tree: dict[str, Any], labels: Mapping[str, Any]) -> bool:
        """Whether a run is left out.

        Args:
            run_id: Its identity.
            tree: Its configuration, resolved.
            labels: What it is called beside its axes.
        """
        if not self.texts:
            return False
        from batchlab.results.compare.frame import RunRow

        row = RunRow(run_id, self.state, None, {}, tree, dict(labels), {})
        self.rows.append(row)
        hits = [row.matches(one) for one in self.conditions]
        self.left_out = [n + hit for n, hit in zip(self.left_out, hits, strict=True)]
        return any(hits)

    def check(self, left: int) -> None:
        """See that every text left something out, and all together not everything.

        Args:
            left: Runs that are left.

        Raises:
            ConfigError: with what there is.
        """
        if not self.texts:
            return
        import pyarrow as pa

        from batchlab.results.compare.frame import Frame
        from batchlab.results.compare.nothing import nothing_meets

        every = Frame(self.rows, pa.table({}), frozenset(), [], ordered=True)
        for text, wanted, n in zip(self.texts, self.conditions, self.left_out, strict=True):
            if n:
                continue
            try:
                for key in wanted:
                    every.values(key)  # says so when no run has it
            except ValueError as error:
                raise ConfigError(f"--skip {text}: {error}") from error
            raise ConfigError(f"--skip {text}: {nothing_meets(every, [wanted])}")
        if not left:
            raise ConfigError(f"--skip {' --skip '.join(self.texts)}: no run is left")
