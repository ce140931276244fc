"""Runs that train together, as people are shown them: one line for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from batchlab.results.store.run import RunState, State
from batchlab.results.words import caption, told
from batchlab.runner.plan.config import Planned

FEW = 3
"""So many that end in the same way are named one by one."""


@dataclass
class Bunch:
    """Runs of one process.

    Attributes:
        plans: All of them.
        left: Those that are being trained.
        ended: How others ended, in their order.
    """

    plans: Sequence[Planned]
    left: set[str] = field(default_factory=set)
    ended: list[tuple[Planned, RunState]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left = {planned.run_id for planned in self.plans}
        self.title = shared(self.plans)

    def by_state(self) -> dict[State, list[tuple[Planned, RunState]]]:
        """Those that have ended."""
        found: dict[State, list[tuple[Planned, RunState]]] = {}
        for planned, state in self.ended:
            found.setdefault(state.state, []).append((planned, state))
        return found


def shared(plans: Sequence[Planned]) -> str:
    """What sets several runs apart in their sweep: what they have in common, and from where to where the rest goes.

    >>> shared([Planned(str(i), {}, ("optimizer=shb", f"seed={i}"), {"part": "toy", "case": i}) for i in (8, 0, 3)])
    'toy optimizer=shb seed=0…8'
    """
    first = plans[0]
    labels = {key: value for key, value in first.labels.items() if all(one.labels.get(key) == value for one in plans)}
    found: dict[str, dict[str, None]] = {}
    for planned in plans:
        for text in planned.overrides:
            key, _, value = told(text).partition("=")
            found.setdefault(key, {})[value] = None
    parts = []
    for key, values in found.items():
        among = _sorted(values)
        parts.append(f"{key}={','.join(among) if len(among) < FEW else f'{among[0]}…{among[-1]}'}")
    return caption(labels, parts)


def _sorted(values: Iterable[str]) -> list[str]:
    """Numbers from the least to the largest; what is none as it comes."""
    among = list(values)
    try:
        return sorted(among, key=float)
    except ValueError:
        return among


def reason(states: Sequence[RunState]) -> str:
    """Why several runs ended so, by the first of the reasons."""
    said = list(dict.fromkeys(state.reason for state in states if state.reason))
    return f"{said[0]}{' (and more of the kind)' if len(said) > 1 else ''}" if said else ""
