"""What a store keeps of sweeps beside their runs, of several stores as one: manifests, plans, what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchlab.results.store.objects import parse_object
from batchlab.results.store.regular import content_of
from batchlab.results.store.run import State
from batchlab.results.store.runs import Asked, RunStore, Sweep, SweepEntry
from batchlab.results.store.shapes import anything

OWN = ("declared", "seen")
"""Of a plan, when it was declared and what was known by then: what is asked is the same without."""


@dataclass
class Kept:
    """What comes to a store from archives.

    Attributes:
        sweeps: Those that are new, have runs more, or of which other ones are missing.
        plans: What was declared of sweeps of which nothing was.
        measured: What was measured for papers for which nothing was.
        notes: What stays as it is although an archive says something else.
    """

    sweeps: dict[str, Sweep] = field(default_factory=dict)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _sources: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, store: RunStore, stores: Sequence[tuple[Path, RunStore]]) -> Kept:
        """Put together what a store and archives say; nothing is written.

        Raises:
            ValueError: They contradict each other, both sides named, or one is damaged.
        """
        kept = cls()
        for path, source in stores:
            for name in source.sweeps():
                kept._sweep(store, path, _read(path, source, name))
            for name in _names(source, ".plans"):
                kept._plan(store, path, name, _content(path, source, ".plans", name))
            for name in _names(source, ".measured"):
                kept._measured(store, path, name, _content(path, source, ".measured", name))
        return kept

    def write(self, store: RunStore) -> list[str]:
        """Write it. A sweep comes last: who reads it finds what was declared of it.

        Returns:
            The sweeps that were written.
        """
        for name, plan in self.plans.items():
            store.declare(name, plan)
        for paper, content in self.measured.items():
            store.write_measured(paper, content)
        for sweep in sorted(self.sweeps.values(), key=lambda sweep: sweep.created):
            store.record(sweep)
        return list(self.sweeps)

    def _sweep(self, store: RunStore, path: Path, sweep: Sweep) -> None:
        name = sweep.name
        before = self.sweeps.get(name) or (store.sweep(name) if name in store.sweeps() else Sweep(name, [], ""))
        labels = before.labels
        for entry in sweep.entries:
            if (known := labels.get(entry.run_id, entry.labels)) != entry.labels:
                raise ValueError(
                    f"nothing was merged: sweep {name} calls run {entry.run_id} {_said(known)} in "
                    f"{self._source(store, name)}, and {_said(entry.labels)} in {path}"
                )
        more = [entry for entry in sweep.entries if entry.run_id not in labels]
        if more or not before.entries:
            created = before.created or sweep.created
            notes = before.notes or sweep.notes
            asked, entries = _asked(before, sweep, more), [*before.entries, *more]
            lost = {**before.left_out, **sweep.left_out}
            self.sweeps[name] = Sweep(name, entries, created, notes, asked, lost)
            if not before.entries:
                self._sources.setdefault(name, str(path))

    def leave_out(self, store: RunStore, stores: Sequence[tuple[Path, RunStore]], why: Mapping[str, str]) -> None:
        """Have sweeps say which of their runs did not come along; what is there by now is not left out any more.

        Args:
            store: Where runs were merged into.
            stores: Archives, and what was unpacked of them.
            why: By identity, why a run of theirs was not taken over.
        """
        for name in dict.fromkeys(name for _, source in stores for name in source.sweeps()):
            sweep = self.sweeps.get(name) or store.sweep(name)
            known = dict(sweep.left_out) | {
                entry.run_id: why[entry.run_id] for entry in sweep.entries if entry.run_id in why
            }
            lost = {run_id: said for run_id, said in known.items() if _absent(store, run_id)}
            if lost != sweep.left_out:
                self.sweeps[name] = replace(sweep, left_out=lost)

    def _source(self, store: RunStore, name: str) -> str:
        """Where what is known of a sweep is from."""
        return self._sources.get(name, store.name)

    def _plan(self, store: RunStore, path: Path, name: str, plan: dict[str, Any]) -> None:
        before = self.plans.get(name) or store.plan(name)
        if before is None:
            self.plans[name] = plan
            self._sources[f"plan {name}"] = str(path)
        elif keys := [key for key in {**before, **plan} if key not in OWN and before.get(key) != plan.get(key)]:
            raise ValueError(
                f"nothing was merged: what was declared of sweep {name} before its first look is not the same: "
                f"{keys[0]} is {_said(before.get(keys[0]))} in {self._source(store, f'plan {name}')}, and "
                f"{_said(plan.get(keys[0]))} in {path}"
            )
        elif before != plan:
            self.notes.append(
                f"sweep {name}: the plan that was declared here stays, with its time; {path} has the same"
            )

    def _measured(self, store: RunStore, path: Path, paper: str, content: dict[str, Any]) -> None:
        before = self.measured.get(paper) or store.measured(paper)
        if not before:
            self.measured[paper] = content
        elif before != content:
            self.notes.append(f"what was measured for {paper} here stays; {path} has other numbers")


def _asked(before: Sweep, sweep: Sweep, more: Sequence[SweepEntry]) -> Asked:
    """The command of a sweep that gets more runs: the archive's if all are in it, else it may give only a part."""
    if len(sweep.entries) == len(before.entries) + len(more) and sweep.asked.kind:
        return sweep.asked
    part = before.asked.part or sweep.asked.part or before.asked.command != sweep.asked.command
    return replace(before.asked, part=part and bool(before.entries))


def _absent(store: RunStore, run_id: str) -> bool:
    return store.run(run_id).read_state().state is State.PENDING


def _read(path: Path, source: RunStore, name: str) -> Sweep:
    try:
        return source.sweep(name)
    except ValueError:
        raise ValueError(f"{path} is damaged: its sweep {name} cannot be read") from None


def _content(path: Path, source: RunStore, folder: str, name: str) -> dict[str, Any]:
    try:
        return parse_object(content_of(source.root / folder / f"{name}.json"), anything)
    except (OSError, ValueError):
        raise ValueError(f"{path} is damaged: its {folder}/{name}.json cannot be read") from None


def _names(source: RunStore, folder: str) -> list[str]:
    return sorted(file.stem for file in (source.root / folder).glob("*.json"))


def _said(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:79]}…"
