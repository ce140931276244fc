"""What tells the runs of a sweep apart, and what was measured of them: what a table has unless asked for others.

Learning rates that were tried have rows of their own: their mean is of no method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchlab.results.axes import CHOICES
from batchlab.results.compare.choice import TUNING
from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.load import swept_keys
from batchlab.results.compare.metrics import CANDIDATES
from batchlab.results.compare.replicates import mixed_keys, untied
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore

LENGTHS = ("train.epochs", "train.samples", "train.steps")
"""Keys that say how long a run is."""
SHOWN = 3
"""So many of the candidates a table has."""
NONE = "–"
"""The value of a key that a run does not have."""


def swept_axes(frame: Frame, swept: Sequence[str] = ()) -> list[str]:
    """What tells the runs' methods apart: labels, what was swept, and what else differs; never the seed.

    Args:
        frame: The runs.
        swept: The keys that their sweep gave values to, as far as it says.
    """

    def differs(key: str) -> bool:
        return _varies(key, frame.runs)

    asked = [key for key in swept if key != "seed" and differs(key)]
    labels = [name for name in dict.fromkeys(name for run in frame.runs for name in run.labels) if name != TUNING]
    found = [*filter(differs, labels), *(key for key in asked if key not in CHOICES)]
    chosen = [key for key in CHOICES if key in asked or any(_varies(key, group) for group in _groups(frame, found))]
    found = sorted([*found, *chosen], key=lambda key: (key not in labels, key not in chosen))
    while mixed := _mixed(frame, found):  # one at a time, for it may tell what others do
        found.append(min(mixed, key=lambda key: not is_rate(key)))
    return found


def _mixed(frame: Frame, axes: Sequence[str]) -> list[str]:
    """The keys that vary between runs which agree on some axes, less those that go with the seed and are no rates."""
    groups = _groups(frame, axes)
    varying = [key for key in mixed_keys(groups) if key not in axes]
    apart = [key for own in groups for key in untied(varying, own)]
    return [key for key in varying if key in apart or is_rate(key)]


def is_rate(key: str) -> bool:
    """Whether a key is a learning rate."""
    return key.rpartition(".")[2] == "lr"


def _groups(frame: Frame, axes: Sequence[str]) -> list[list[RunRow]]:
    """The runs that agree on some axes."""
    groups: dict[tuple[object, ...], list[RunRow]] = {}
    for run in frame.runs:
        groups.setdefault(tuple(map(run.value, axes)), []).append(run)
    return [*groups.values()]


def lengths_apart(frame: Frame, axes: Sequence[str]) -> list[str]:
    """How long runs of one data set and model are trained, where they differ in it and no axis says so."""
    same = _groups(frame, ["dataset", "model"])
    return [key for key in LENGTHS if key not in axes and any(_varies(key, own) for own in same)]


def one_each(frame: Frame, axes: Sequence[str], key: str) -> bool:
    """Whether runs that agree on some axes have one value of a key."""
    return not any(_varies(key, own) for own in _groups(frame, axes))


def _varies(key: str, runs: Sequence[RunRow]) -> bool:
    return len({run.value(key) for run in runs} - {MISSING}) > 1


def filled(frame: Frame, axes: Sequence[str]) -> Frame:
    """The same runs, where one that begun and has no such key is labelled `NONE`.

    A key of one optimizer is an axis of the table, and the runs of the others belong into it too.
    """

    def lacks(run: RunRow) -> dict[str, str]:
        return {axis: NONE for axis in axes if run.config and run.value(axis) == MISSING}

    return replace(
        frame, runs=[replace(run, labels=run.labels | gaps) if (gaps := lacks(run)) else run for run in frame.runs]
    )


def usual_rows(store: RunStore, frame: Frame, sweep: str | None, taken: Sequence[str] = ()) -> list[str]:
    """The rows of a table that was asked for none: what its runs differ in, of several sweeps all that some gave.

    Args:
        store: Where the runs are.
        frame: The runs of the table.
        sweep: The sweep that was named.
        taken: What is an axis already, or is chosen.
    """
    parts = {part for axis in taken for part in axis.split(",")}
    return [axis for axis in swept_axes(frame, swept_keys(store, frame, sweep)) if axis not in parts] or ["optimizer"]


def usual_metrics(frame: Frame) -> list[str]:
    """The metrics of a table that was asked for none: the test accuracy, or what else every run that is done measured.

    Args:
        frame: The runs of the table, with the columns of `CANDIDATES`.
    """
    done = replace(frame, runs=[run for run in frame.runs if run.state is State.DONE])
    some = [name for name in CANDIDATES if frame.has(name)]
    every = [name for name in some if all(replace(done, runs=[run]).has(name) for run in done.runs)]
    found = (every or some)[:SHOWN]
    return found[:1] if found[:1] == [CANDIDATES[0]] else found or [CANDIDATES[0]]
