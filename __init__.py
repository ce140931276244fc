"""batchlab: does this optimizer, learning-rate schedule or batch-size schedule really help?

In a notebook or a script:

    import batchlab

    batchlab.sweep(["optimizer=shb,nshb", "seed=range(0,3)", "train.epochs=2"], runs="runs")
    batchlab.table("runs", rows=["optimizer"], metrics=["test_accuracy"])
    batchlab.plot("runs", metric="test_loss")               # a matplotlib figure
    frame = batchlab.runs("runs")                           # a pandas DataFrame

The rooms: `batchlab.optimizers`, `batchlab.datasets`, `batchlab.results`, `batchlab.runner`. Importing `batchlab` alone
imports none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers read it; `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from batchlab.runner.notebook import plot as plot
    from batchlab.runner.notebook import runs as runs
    from batchlab.runner.notebook import sweep as sweep
    from batchlab.runner.notebook import table as table

    __version__: str

__all__ = ["__version__", "plot", "runs", "sweep", "table"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("batchlab")
    if name in __all__:
        from batchlab.runner import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module 'batchlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
