"""What to say where no run is what was asked for: what there is instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.words import as_typed, listing, quoted

NAMED = 12
"""So many values of an axis are named in a line."""


def nothing_meets(frame: Frame, alternatives: Sequence[Mapping[str, list[str]]]) -> str:
    """One line for conditions that no run meets: the first that none has, with the values that there are.

    Args:
        frame: All runs that were asked.
        alternatives: Conditions that must all hold, by axis the values named for it; several: any of them.
    """
    said = []
    for conditions in alternatives:
        typed = {key: f"{key}={','.join(map(quoted, values))}" for key, values in conditions.items()}
        alone = [key for key, values in conditions.items() if not any(r.matches({key: values}) for r in frame.runs)]
        if alone:
            said.append(f"no run has {typed[alone[0]]}; {alone[0]} is {_values(frame, alone[0])}")
        else:
            said.append(f"no run has {listing([*typed.values()])} together")
    return "; ".join(said)


def _values(frame: Frame, key: str) -> str:
    values = [as_typed(value) for value in frame.values(key) if value != MISSING]
    shown = values[:NAMED]
    rest = len(values) - len(shown)
    return ("one of " if len(values) > 1 else "") + ", ".join(shown) + (f" and {rest:,} more" if rest else "")
