"""What sets runs apart for people: the choices, and what else differs between runs of the same choices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from batchlab.results.axes import AXES, RECORDING, within
from batchlab.results.compare.frame import MISSING, RunRow
from batchlab.results.compare.replicates import Key, Setting, mixed_keys
from batchlab.results.words import spelled


def telling_keys(runs: Sequence[RunRow]) -> list[str]:
    """Keys that differ between runs which agree on all axes, seed included; what is recorded is one of them.

    Args:
        runs: that a user sees together.
    """
    alike: dict[Key, list[RunRow]] = {}
    for run in runs:
        alike.setdefault(tuple(run.value(axis) for axis in AXES), []).append(run)
    keys = mixed_keys(alike.values())
    for group in alike.values():
        flat = [*map(dict, dict.fromkeys(run.of_flat(_recorded) for run in group))]  # few, however many runs
        if any(other != flat[0] for other in flat):
            kinds = ["measure"] if len({run.value("measure") for run in group}) > 1 else []
            differ = {key for one in flat for key in one if any(other.get(key) != one[key] for other in flat)}
            keys += kinds or sorted(differ)
    return list(dict.fromkeys(keys))


def _recorded(flat: dict[str, Any]) -> Setting:
    """What of a configuration says what is written down."""
    return tuple(item for item in flat.items() if _records(item[0]))


@cache
def _records(key: str) -> bool:
    return within(key, RECORDING)


def differing(runs: Sequence[RunRow]) -> list[str]:
    """All that sets runs apart: axes with several values, the seed last, and `telling_keys` before it."""
    axes = [axis for axis in AXES if len({run.value(axis) for run in runs if run.config}) > 1]
    rest = [key for key in telling_keys(runs) if key not in axes]
    return [*(axis for axis in axes if axis != "seed"), *rest, *(axis for axis in axes if axis == "seed")]


def settings(run: RunRow, keys: Sequence[str]) -> list[str]:
    """`KEY=VALUE` as an override says it, of those that the run has.

    >>> from batchlab.results.store.run import State
    >>> settings(RunRow("a", State.DONE, None, {}, {"nesterov": True, "lr": 0.1}, {}, {}), ["lr", "nesterov", "beta"])
    ['lr=0.1', 'nesterov=true']
    """
    values = [(key, run.value(key)) for key in keys]
    return [f"{key}={spelled(value)}" for key, value in values if value != MISSING]
