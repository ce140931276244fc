"""Where runs live on disk. Standard library only: `batchlab status` must not wait for NumPy or pandas.

    runs/<run_id>/            config.yaml  run.json  metrics.parquet  steps.parquet  layers.parquet
                              log/  checkpoint.pt  checkpoint.before.pt  progress  lock  owner
    runs/.stale/<run_id>-1/   a run that another took the place of (aside.py)
    runs/.sweeps/<name>.json  the runs of a sweep in order, with their labels and overrides
    runs/.times/<name>.jsonl  when the commands of a sweep ran (times.py)
    runs/.plans/<name>.json   what was declared of a sweep that adds seeds until its claims are decided
    runs/.measured/<paper>.json  what a paper's reproduction measured apart from its runs
    runs/.index/metrics       rows of many runs together, which saves time (index.py)
    runs/.merge               locked by who merges archives into it (merge.py)

One run's folder is `run.Run`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import remove_strays, temporary_of, writing
from batchlab.results.store.locks import ELSEWHERE, locked, no_locks
from batchlab.results.store.objects import parse_object, write_object
from batchlab.results.store.regular import content_of
from batchlab.results.store.run import Run, now
from batchlab.results.store.shapes import NAME_BYTES, RUN_ID, SWEEP, SWEEP_NAME, anything

MANIFEST = re.compile(r"\w[\w.-]*\.json")


@dataclass(frozen=True, slots=True)
class SweepEntry:
    """A run of a sweep.

    Attributes:
        run_id: Its identity.
        labels: What the sweep's author calls it.
        overrides: What made it, in Hydra's grammar.
    """

    run_id: str
    labels: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"run_id": self.run_id, "labels": self.labels, "overrides": self.overrides}


@dataclass(frozen=True)
class Asked:
    """What a sweep was asked for by, at last.

    Attributes:
        kind: The command's verb: train, sweep, compare or reproduce; empty where an earlier version wrote it.
        command: What stands behind `batchlab`, less what says only where runs lie and how they are trained.
        part: Whether it gives some of the runs only, as others were there and stayed.
    """

    kind: str = ""
    command: tuple[str, ...] = ()
    part: bool = False

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        said = {"kind": self.kind, "command": [*self.command]} if self.kind else {}
        return said | ({"part": True} if self.part else {})


UNASKED = Asked()
"""Nobody knows."""


@dataclass(frozen=True)
class Sweep:
    """The runs of a named sweep, in the order they were asked for.

    Attributes:
        name: Its name.
        entries: Its runs.
        created: When it was recorded.
        notes: What its author says of it, a line each: how a recipe differs from what a paper did.
        asked: The command that asked for it.
        left_out: Runs of it that were damaged or not over where they were packed, and why, by identity.
    """

    name: str
    entries: list[SweepEntry]
    created: str = ""
    notes: list[str] = field(default_factory=list)
    asked: Asked = UNASKED
    left_out: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it stands in its manifest."""
        said = {"notes": self.notes} if self.notes else {}
        lost = {"left_out": dict(self.left_out)} if self.left_out else {}
        runs = [entry.as_json() for entry in self.entries]
        return {"created": self.created, **self.asked.as_json(), **said, **lost, "runs": runs}

    @property
    def alone(self) -> bool:
        """Whether it is a run that was trained by itself, whose identity is its name."""
        return self.asked.kind in ("", "train") and [entry.run_id for entry in self.entries] == [self.name]

    @property
    def labels(self) -> dict[str, dict[str, Any]]:
        """Labels by run id."""
        return {entry.run_id: entry.labels for entry in self.entries}


def places(sweeps: Sequence[Sweep]) -> dict[str, int]:
    """By run its place where people look at all: the latest sweep first, in its order.

    One of several sweeps is where the earliest is, which made it.

    Args:
        sweeps: The latest last.
    """
    found = {entry.run_id: i for i, entry in enumerate(entry for sweep in reversed(sweeps) for entry in sweep.entries)}
    return {run_id: i for i, run_id in enumerate(sorted(found, key=found.__getitem__))}


@dataclass(frozen=True)
class RunStore:
    """The folder that holds all runs (`--runs`); it need not exist yet.

    Attributes:
        root: The folder.

    Raises:
        ValueError: When it is a file.
    """

    root: Path

    def __post_init__(self) -> None:
        if self.root.is_file():
            packed = "--from reads an archive, or " if self.root.name.endswith(".tar.xz") else ""
            raise ValueError(f"{self.root} is a file: {packed}{ELSEWHERE}")

    @property
    def name(self) -> str:
        """What it is called where people read it."""
        return str(self.root)

    @property
    def lasting(self) -> bool:
        """Whether it is worth keeping there what saves time to the next reader."""
        return True

    def said(self, text: str) -> str:
        """A text about its files as people read it."""
        return text

    def prepare(self) -> RunStore:
        """Make the folder and see that it can be written, and that files in it can be locked.

        What processes left behind in the store's own folders that were killed is removed.

        Raises:
            ValueError: With the way out, when it cannot.
        """
        probe = temporary_of(self.root / "probe")
        with writing(self.root, ELSEWHERE):
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(probe, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                locked(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise ValueError(no_locks(self.root, error)) from error
            finally:
                os.close(descriptor)
                probe.unlink()
        for folder in ("", ".sweeps", ".plans", ".measured", ".tuned", ".index"):
            remove_strays(self.root / folder)
        return self

    def there(self) -> RunStore:
        """See that the folder is there, for who reads.

        Raises:
            ValueError: It is not.
        """
        if not self.root.is_dir():
            raise ValueError(f"there is no folder {self.root}: `batchlab sweep` makes it, or {ELSEWHERE}")
        return self

    def begun(self, sweep: str | None = None) -> RunStore:
        """See that there are runs to read.

        Args:
            sweep: The sweep that is read, whose runs may be to come.

        Raises:
            ValueError: There are none.
        """
        if self.there() and sweep is None and next(self.runs(), None) is None:
            raise ValueError(f"no runs in {self.root} yet: start some with `batchlab sweep`, or {ELSEWHERE}")
        return self

    def run(self, run_id: str) -> Run:
        """The run with this identity, whether its folder exists or not."""
        assert RUN_ID.fullmatch(run_id), f"not a run id: {run_id!r}"
        return Run(self.root / run_id)

    def runs(self) -> Iterator[Run]:
        """Every folder with a configuration, a state or rows, ordered by identity; other folders are no runs."""
        return (run for run in (Run(self.root / name) for name in sorted(self.folders())) if run.begun)

    def folders(self) -> set[str]:
        """The names of all folders that may be runs."""
        try:
            with os.scandir(self.root) as entries:
                return {e.name for e in entries if not e.name.startswith(".") and e.is_dir()}
        except FileNotFoundError:
            return set()

    def sweeps(self) -> list[str]:
        """Names of the sweeps recorded here, latest last."""
        try:
            with os.scandir(self.root / ".sweeps") as entries:
                found = [(e.stat().st_mtime_ns, Path(e.name).stem) for e in entries if MANIFEST.fullmatch(e.name)]
        except OSError:
            return []
        return [name for _, name in sorted(found)]

    def sweep(self, name: str) -> Sweep:
        """Read a sweep's manifest.

        Raises:
            ValueError: When it is missing, with the sweeps that there are, or damaged.
        """
        path = self.manifest(name)
        try:
            content = parse_object(content_of(path), SWEEP)
        except FileNotFoundError:
            known = ", ".join(self.sweeps()) or "none yet"
            raise ValueError(f"no sweep named {name} in {self.name} (there are: {known})") from None
        except (OSError, ValueError) as error:
            raise ValueError(self.said(f"{path} is damaged; run the sweep again (no run is lost)")) from error
        entries = [SweepEntry(e["run_id"], e.get("labels", {}), e.get("overrides", [])) for e in content["runs"]]
        asked = Asked(content.get("kind", ""), tuple(content.get("command", ())), content.get("part", False))
        return Sweep(name, entries, content["created"], content.get("notes", []), asked, content.get("left_out", {}))

    def manifests(self) -> tuple[list[Sweep], list[str]]:
        """All sweeps that can be read, latest last, and a line for each that cannot."""
        found, problems = [], []
        for name in self.sweeps():
            try:
                found.append(self.sweep(name))
            except ValueError as error:
                problems.append(str(error))
        return found, problems

    def only_sweep(self) -> str | None:
        """The sweep that all runs are of, where there is one: their order, labels and which only choose stand there."""
        found = self.manifests()[0] if len(self.sweeps()) == 1 else []
        if not found:
            return None
        own = {entry.run_id for entry in found[0].entries}
        return found[0].name if all(run.run_id in own for run in self.runs()) else None

    def write_sweep(
        self,
        name: str,
        entries: list[SweepEntry],
        notes: Sequence[str] = (),
        asked: Asked = Asked(),
    ) -> Sweep:
        """Record a sweep, in place of an earlier one of the same name.

        Args:
            name: Letters, digits, dot, dash and underscore.
            entries: Its runs, in order.
            notes: What is said of it.
            asked: The command that asked for it.

        Returns:
            The sweep as it was recorded.

        Raises:
            ValueError: For another name, or a folder that cannot be written.
        """
        return self.record(Sweep(name, entries, now(), list(notes), asked))

    def record(self, sweep: Sweep) -> Sweep:
        """Record a sweep as it is, with the time at which it was made.

        Raises:
            ValueError: As `write_sweep`.
        """
        self._write(self.manifest(sweep.name), sweep.as_json())
        return sweep

    def forget(self, run_ids: AbstractSet[str]) -> None:
        """Take runs that were removed out of the sweeps that they were in.

        A sweep that was decided in looks keeps them: what was declared of it stands, and they are trained again. One
        that has no other runs is no more. What is damaged stays as it is.
        """
        for name in self.sweeps():
            with contextlib.suppress(ValueError):
                if self.plan(name) is not None:
                    continue
                sweep, path = self.sweep(name), self.manifest(name)
                left = [entry for entry in sweep.entries if entry.run_id not in run_ids]
                if not left:
                    path.unlink()
                elif len(left) < len(sweep.entries):
                    times = path.stat()
                    self.record(replace(sweep, entries=left))
                    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the latest sweep stays the latest

    def select(self, sweep: str | None = None) -> list[tuple[Run, dict[str, Any]]]:
        """Runs with their labels.

        Args:
            sweep: The runs of this sweep, in its order. None: every run there is, without labels.

        Raises:
            ValueError: For a sweep that is not there.
        """
        if sweep is None:
            return [(run, {}) for run in self.runs()]
        return [(self.run(entry.run_id), entry.labels) for entry in self.sweep(sweep).entries]

    def plan(self, sweep: str) -> dict[str, Any] | None:
        """What was declared before the first look at a sweep; None where nothing was.

        Raises:
            ValueError: When the file is damaged.
        """
        path = self._plan(sweep)
        try:
            return parse_object(content_of(path), anything)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            said = self.said(f"{path} is damaged: delete it to declare another plan, and say so")
            raise ValueError(said) from error

    def declare(self, sweep: str, content: dict[str, Any]) -> None:
        """Write down what is declared before the first look at a sweep, once: it cannot be changed after.

        Args:
            sweep: Its name.
            content: What `json` can write.

        Raises:
            FileExistsError: When something was declared before.
            ValueError: With the way out, when it cannot be written.
        """
        path = self._plan(sweep)
        if path.exists():
            raise FileExistsError(f"{path} is there: what was declared stands")
        self._write(path, content)

    def measured(self, paper: str) -> dict[str, Any]:
        """What was measured for a paper apart from its runs; empty where nothing readable is there."""
        try:
            return parse_object(content_of(self._measured(paper)), anything)
        except (OSError, ValueError):
            return {}

    def write_measured(self, paper: str, content: dict[str, Any]) -> None:
        """Keep what was measured for a paper apart from its runs.

        Args:
            paper: Its name.
            content: What `json` can write.

        Raises:
            ValueError: With the way out, when it cannot be written.
        """
        self._write(self._measured(paper), content)

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        with writing(self.root, ELSEWHERE):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_object(path, content)

    def _measured(self, paper: str) -> Path:
        return self.root / ".measured" / f"{paper}.json"

    def _plan(self, name: str) -> Path:
        check_name(name)
        return self.root / ".plans" / f"{name}.json"

    def manifest(self, name: str) -> Path:
        """The file that says which runs a sweep has.

        Raises:
            ValueError: For a name that no sweep can have.
        """
        check_name(name)
        return self.root / ".sweeps" / f"{name}.json"


def check_name(sweep: str) -> None:
    """See that a sweep can have this name.

    Raises:
        ValueError: When it cannot; it says what a name is.
    """
    if not SWEEP_NAME.fullmatch(sweep):
        raise ValueError(f"a sweep's name is letters, digits, dot, dash and underscore; not {sweep!r}")
    if len(sweep.encode()) > NAME_BYTES:
        raise ValueError(f"a sweep's name has {NAME_BYTES} bytes at most; not {len(sweep.encode())}: {sweep[:40]}...")
