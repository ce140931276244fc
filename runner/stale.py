"""Which runs of a sweep do not count any more, because they were made of something else, and what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import yaml

from batchlab.results.store.aside import FOLDER, set_aside
from batchlab.results.store.fingerprint import KEY, as_json, differences, recorded
from batchlab.results.store.run import FINISHED, Run, RunBusyError, RunState, State
from batchlab.results.store.runs import RunStore
from batchlab.results.store.shared import Shared
from batchlab.results.words import count, listing
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.blocks import different
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.fingerprint import RETURNED, Fingerprints, commits
from batchlab.runner.plan.reading import checked

BEGUN = FINISHED | {State.INTERRUPTED, State.CANCELLED, State.CRASHED, State.FAILED}
"""States in which there may be numbers or a checkpoint of other code."""
ASKED = "asked for again"
NAMED = 6
"""So many runs are named in a line."""


class Staleness:
    """Compares runs with what they would be made of now, for one command.

    Args:
        store: Where runs are kept.
        options: Whether code is trusted, and whether all is to be trained again.
    """

    def __init__(self, store: RunStore, options: SweepOptions) -> None:
        self.store = store
        self.options = options
        self.fingerprints = Fingerprints()
        self.found: dict[str, tuple[str, dict[str, Any]]] = {}
        """Why runs are stale, and what run.json said then."""
        self._trusted: dict[str, str] = {}
        self._over: dict[str, RunState] = {}
        self._shared = Shared()
        self._counting: set[str] = set()
        """Those that are over of which it was found that they count."""
        self.anew: set[str] = set()
        """Runs that this command began: they are as new as it is."""

    def state(self, run_id: str) -> RunState:
        """What there is of a run. Of one that is over it is read once by a command, which may ask of 5,000 three times.

        Args:
            run_id: the run's identity.
        """
        found = self._over.get(run_id) or self.store.run(run_id).read_state()
        if found.state in FINISHED and run_id not in self._over:
            found = self._over[run_id] = replace(found, info=self._shared(found.info))
        return found

    def look(self, plans: Sequence[Planned]) -> None:
        """Take the fingerprints of all plans now: before a process imports what they are made of."""
        for tree in different(planned.tree for planned in plans):
            self.fingerprints.of(tree)

    def look_again_at_data(self, plans: Sequence[Planned]) -> None:
        """The data sets were loaded: some files are there only now, and what the user's own readers read is known."""
        self.fingerprints.forget_data()
        self._counting.clear()
        self.look(plans)

    def why(self, planned: Planned, state: RunState) -> str:
        """Why what there is of a run does not count; empty where it does, and where there is nothing."""
        if state.state not in BEGUN or planned.run_id in self.anew or not planned.tree:
            return ""
        if planned.run_id in self._counting and state is self._over.get(planned.run_id):
            return ""
        if self.options.rerun:
            said = ASKED
        elif state.state not in FINISHED and not self.store.run(planned.run_id).checkpoints:
            return ""  # it begins at its beginning anyway, and there is nothing to keep
        else:
            before = recorded(state.info)
            if before is None:
                return ""
            now = self.fingerprints.of(planned.tree)
            said = listing(differences(before, now, self.fingerprints.contents))
            if not said and any(name.startswith(RETURNED) for name in before):  # data are read where nothing else tells
                now = before | self.fingerprints.returned(planned.tree["dataset"])
                said = listing(differences(before, now, self.fingerprints.contents))
            if said and self.options.trust_code:
                self._trusted.setdefault(planned.run_id, said)
                return ""
        if said:
            self.found[planned.run_id] = (said, state.info)
        elif state.state in FINISHED:
            self._counting.add(planned.run_id)
        return said

    def trusted(self) -> dict[str, str]:
        """Why runs would be trained anew if code was not trusted; each is named once."""
        named = {run_id: why for run_id, why in self._trusted.items() if why}
        self._trusted |= dict.fromkeys(named, "")
        return named

    def finished(self, planned: Planned, state: RunState) -> bool:
        """Whether nothing is left to do for a run."""
        return state.state in FINISHED and not self.why(planned, state)

    def begin(self, planned: Planned, run: Run) -> None:
        """Make a run's folder ready: what is stale in it is set aside, and what the run is made of is noted.

        A run that somebody else trains, or has trained anew since this command looked, is left alone.
        """
        why, seen = self.found.get(run.run_id, ("", {}))
        self._over.pop(run.run_id, None)
        try:
            with run.hold():
                moved = bool(why) and run.read_state().info == seen
                if moved:
                    set_aside(self.store, run, why)
                else:
                    self._note(planned, run)
            if moved:
                with run.hold():  # of the folder in its place
                    run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
                    self._note(planned, run)
        except RunBusyError:  # whoever starts it will find that too
            return
        self.anew.add(run.run_id)

    def _note(self, planned: Planned, run: Run) -> None:
        """Write down what a run is made of that begins at its beginning; one that goes on was made of that before."""
        if run.read_state().state in FINISHED:
            return
        node = planned.tree.get("dataset", {})
        returned = self.fingerprints.returned(node)
        made: dict[str, Any] = checked(node)
        if not run.checkpoints:
            made |= {KEY: as_json(self.fingerprints.of(planned.tree) | returned), "user_git": self._commits or None}
        run.write_state(durable=False, **made)  # it is written again as soon as the run begins

    @cached_property
    def _commits(self) -> dict[str, str]:
        """Of the user's own code, as it is when the first run begins."""
        return commits(self.fingerprints.folders())


def stale_lines(reasons: dict[str, str], root: object, trusted: dict[str, str] | None = None) -> list[str]:
    """What to say of stale runs.

    Args:
        reasons: Why, by run, of those that are trained anew.
        root: The folder that holds all runs.
        trusted: The same of those that are taken as they are.
    """
    lines = []
    for taken, every in ((False, reasons), (True, trusted or {})):
        by_reason: dict[str, list[str]] = {}
        for run_id, why in every.items():
            by_reason.setdefault(why, []).append(run_id)
        for why, ids in by_reason.items():
            runs, are = count(len(ids), "run"), "is" if len(ids) == 1 else "are"
            named = " ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else "")
            kept = f"trained anew, and the earlier {'one' if len(ids) == 1 else 'ones'} kept in {root}/{FOLDER}"
            if why == ASKED:
                lines.append(f"{runs} {are} {kept}, as asked ({named})")
            elif taken:
                lines.append(f"{runs} {are} stale, as {why} since ({named}): still counted, as asked")
            else:
                lines.append(f"{runs} {are} stale, as {why} since ({named}): {kept}; --trust-code takes what is there")
    return lines


def unknown_line(n: int) -> str:
    """What to say of runs that are skipped and have no fingerprint."""
    runs = f"{count(n, 'run')} done before batchlab kept what runs are made of"
    return f"{runs}: whether code or data changed since, nobody can say"
