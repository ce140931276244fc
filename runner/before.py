"""What there is of a sweep before it begins: which of its runs are done or left alone, which others its name has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from batchlab.results.store.fingerprint import recorded
from batchlab.results.store.run import FINISHED, RunState, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.words import count
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.config import Planned
from batchlab.runner.stale import ASKED, Staleness, stale_lines, unknown_line


@dataclass
class Before:
    """The runs of a sweep before its first one starts.

    Attributes:
        left: Those to be trained, in their order.
        states: Of the others, how many are in which state.
        done: Those that are done and count.
        alone: Those that failed before, or are damaged; a note names each.
        held: Those that another process is training.
        goes_on: Those of `left` that have a checkpoint to go on from.
        mates: Those of `goes_on` that were trained in a group before, and the group of each.
        single: Those of `left` that train alone for what became of them before, and why.
        notes: What the user should know.
    """

    left: list[Planned] = field(default_factory=list)
    states: Counter[State] = field(default_factory=Counter)
    done: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    held: list[Planned] = field(default_factory=list)
    goes_on: set[str] = field(default_factory=set)
    mates: dict[str, str] = field(default_factory=dict)
    single: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tally(self) -> str:
        """How many runs are done already, left alone and to go."""
        going = len(self.left) + len(self.held)
        return tally(len(self.done) + len(self.alone) + going, len(self.done), going)

    def see_how_it_was_trained(self, run_id: str, info: Mapping[str, Any], options: SweepOptions) -> None:
        """Whom a run that is left was trained with, or why it trains alone now.

        Args:
            run_id: its identity.
            info: what run.json says.
            options: whether it is tried at half its micro-batch.
        """
        if "micro_batch" in info or (options.retry_oom and info.get("out_of_memory", {}).get("half")):
            self.single[run_id] = "a smaller micro-batch"
        elif run_id in self.goes_on and "group" in info:
            self.mates[run_id] = str(info["group"])
        elif run_id in self.goes_on:
            self.single[run_id] = "a checkpoint of its own"

    def word(self, run_id: str) -> str:
        """What comes of a run, where it does not begin at its beginning."""
        if run_id in self.done:
            return "done already"
        if run_id in self.goes_on:
            return "goes on from its checkpoint"
        if run_id in self._held:
            return "another process is training it"
        return "left alone" if run_id in self.alone else ""

    @cached_property
    def _held(self) -> set[str]:
        return {planned.run_id for planned in self.held}


def tally(total: int, done: int, left: int) -> str:
    """How many runs are done already, left alone and to be trained.

    >>> tally(3, 1, 0)
    '1 done already, 2 left alone, 0 to go'
    """
    parts = [f"{n:,} {what}" for n, what in ((done, "done already"), (total - done - left, "left alone")) if n]
    return ", ".join([*parts, f"{left:,} to go"])


def look(
    plans: Sequence[Planned],
    store: RunStore,
    staleness: Staleness | None = None,
    options: SweepOptions = SweepOptions(),  # noqa: B008 - frozen
) -> Before:
    """See what there is of the runs of a sweep.

    Args:
        plans: The runs.
        store: Where they are kept.
        staleness: Which runs were made of other code or data, and are trained anew; None: nobody asks.
        options: Whether failed runs are started again, and those that were stopped at their timeout.
    """
    before = Before()
    stale: dict[str, str] = {}
    unknown = 0
    there = store.folders()
    for planned in plans:
        run = store.run(planned.run_id)
        if planned.run_id not in there:
            before.left.append(planned)
            continue
        found = staleness.state(planned.run_id) if staleness is not None else run.read_state()
        why = staleness.why(planned, found) if staleness is not None else ""
        if found.state in FINISHED and not why:
            before.done.add(planned.run_id)
            before.states[found.state] += 1
            unknown += staleness is not None and recorded(found.info) is None
        elif (closed := _closed(found, options)) and why != ASKED:
            before.states[found.state] += 1
            before.notes.append(f"{planned.run_id} {closed}")
        elif found.state is State.DAMAGED:  # its rows may be whole: only the user can throw them away
            before.states[State.DAMAGED] += 1
            before.notes.append(f"{planned.run_id}: {found.reason}")
        elif found.state is State.RUNNING:
            before.held.append(planned)
            continue
        else:
            before.left.append(planned)
            stale |= {planned.run_id: why} if why else {}
            if not why:
                before.goes_on |= {planned.run_id} if run.checkpoints else set()
                before.see_how_it_was_trained(planned.run_id, found.info, options)
            continue
        if planned.run_id not in before.done:
            before.alone.add(planned.run_id)
    trusted = staleness.trusted() if staleness is not None else {}
    before.notes += [*stale_lines(stale, store.root, trusted), *([unknown_line(unknown)] if unknown else [])]
    return before


def _closed(found: RunState, options: SweepOptions) -> str:
    """Why a run that is not over is not started again without being asked; empty where it is."""
    if options.retry:
        return ""
    if found.state is State.FAILED and not (options.retry_oom and found.info.get("out_of_memory", {}).get("half")):
        return f"failed before ({found.reason}): --retry starts it again"
    limit = found.info.get("timeout")
    if found.state is State.INTERRUPTED and isinstance(limit, (int, float)) and options.seconds <= limit:
        return f"was stopped before ({found.reason}): a longer --timeout, or --retry, goes on"
    return ""


def joined(plans: Sequence[Planned], store: RunStore, name: str, *, extend: bool) -> tuple[list[Planned], str]:
    """All runs that a sweep has when these are trained under its name, and what to tell the user of the others.

    Those that it had stay in it where it was decided in looks, as who trains its first ones again takes no verdict
    back, and where it is to be extended; elsewhere it is declared anew.

    Args:
        plans: The runs.
        store: Where they are kept.
        name: Of the sweep.
        extend: Other runs that a sweep of this name has stay in it.

    Raises:
        ConfigError: Other runs, for a sweep that was decided in looks.
    """
    decided = store.plan(name) is not None
    before: list[SweepEntry] = []
    if name in store.sweeps():
        with nullcontext() if decided else suppress(ValueError):  # damaged: this writes it again
            before = store.sweep(name).entries
    own = {planned.run_id: planned for planned in plans}
    there = {e.run_id: Planned(e.run_id, {}, tuple(e.overrides), e.labels) for e in before}
    others = len(there.keys() - own.keys())
    if decided and extend and own.keys() - there.keys():
        raise ConfigError(f"sweep {name} is decided in looks, by what was declared before: use another --name")
    said = ""
    if not (decided or extend):
        if others:
            said = f"sweep {name} is declared anew: {count(others, 'run')} of before are not part of it"
        return [*plans], said
    if others and not decided:
        every = count(len(there | own), "run")
        said = f"sweep {name} is there with {count(others, 'other run')}: they stay in it, which makes {every}"
        return _told_apart(store, name, there | own), said
    return [*(there | own).values()], said


def _told_apart(store: RunStore, name: str, every: Mapping[str, Planned]) -> list[Planned]:
    """Runs of several requests, each with what sets it apart among all of them, and not only in its own request.

    Args:
        store: where the runs are.
        name: of the sweep that has some of them already.
        every: all runs by identity; those from the sweep know no configuration.
    """
    from batchlab.results.compare.apart import differing, settings
    from batchlab.results.compare.frame import RunRow
    from batchlab.results.compare.load import load

    rows = {p.run_id: RunRow(p.run_id, State.PENDING, None, {}, p.tree, p.labels, {}) for p in every.values()}
    there = load(store, name, columns=()).runs
    rows |= {row.run_id: replace(row, overrides={}) for row in there if row.run_id in rows and row.config}
    keys = differing([row for row in rows.values() if not row.labels])
    place = {key: i for i, key in enumerate(key for key in keys if key != "seed")} | {"seed": len(keys) + 1}
    found = []
    for planned in every.values():
        more = [] if planned.labels else [key for key in keys if key not in map(_key, planned.overrides)]
        told = [*settings(rows[planned.run_id], more), *planned.overrides]
        told.sort(key=lambda text: place.get(_key(text), len(keys)))
        found.append(replace(planned, overrides=tuple(told)))
    return found


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
