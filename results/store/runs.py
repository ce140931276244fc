"""Where runs live on disk. Standard library only: `batchlab status` must not wait for NumPy or pandas.

    runs/<run_id>/            config.yaml  run.json  metrics.parquet  steps.parquet  layers.parquet
                              log/  checkpoint.pt  progress  lock
    runs/.stale/<run_id>-1/   a run that another took the place of (aside.py)
    runs/.sweeps/<name>.json  the runs of a sweep in order, with their labels and overrides
    runs/.plans/<name>.json   what was declared of a sweep that adds seeds until its claims are decided
    runs/.measured/<paper>.json  what a paper's reproduction measured apart from its runs

One run's folder is `run.Run`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import replace_json, writing
from batchlab.results.store.run import ELSEWHERE, Run, locked, no_locks, now


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


@dataclass(frozen=True)
class Sweep:
    """The runs of a named sweep, in the order they were asked for."""

    name: str
    entries: list[SweepEntry]
    created: str = ""

    @property
    def labels(self) -> dict[str, dict[str, Any]]:
        """Labels by run id."""
        return {entry.run_id: entry.labels for entry in self.entries}


@dataclass(frozen=True)
class RunStore:
    """The folder that holds all runs (`--runs`); it need not exist yet.

    Raises:
        ValueError: When it is a file.
    """

    root: Path

    def __post_init__(self) -> None:
        if self.root.is_file():
            raise ValueError(f"{self.root} is a file: {ELSEWHERE}")

    def prepare(self) -> RunStore:
        """Make the folder and see that it can be written, and that files in it can be locked.

        Raises:
            ValueError: With the way out, when it cannot.
        """
        probe = self.root / f".probe.{os.getpid()}"
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
        assert re.fullmatch(r"\w[\w.-]*", run_id), f"not a run id: {run_id!r}"
        return Run(self.root / run_id)

    def runs(self) -> Iterator[Run]:
        """Every folder with a configuration, a state or rows, ordered by identity; other folders are no runs."""
        try:
            with os.scandir(self.root) as entries:
                names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
        except FileNotFoundError:
            names = []
        return (run for run in (Run(self.root / name) for name in names) if run.begun)

    def sweeps(self) -> list[str]:
        """Names of the sweeps recorded here, latest last."""
        files = sorted((self.root / ".sweeps").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.stem for path in files]

    def sweep(self, name: str) -> Sweep:
        """Read a sweep's manifest.

        Raises:
            ValueError: When it is missing, with the sweeps that there are, or damaged.
        """
        path = self._manifest(name)
        try:
            content = json.loads(path.read_bytes())
            entries = [SweepEntry(**entry) for entry in content["runs"]]
            return Sweep(name, entries, content["created"])
        except FileNotFoundError:
            known = ", ".join(self.sweeps()) or "none yet"
            raise ValueError(f"no sweep named {name} in {self.root} (there are: {known})") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged; run the sweep again (no run is lost)") from error

    def write_sweep(self, name: str, entries: list[SweepEntry]) -> Sweep:
        """Record a sweep, in place of an earlier one of the same name.

        Args:
            name: Letters, digits, dot, dash and underscore.
            entries: Its runs, in order.

        Returns:
            The sweep as it was recorded.

        Raises:
            ValueError: For another name, or a folder that cannot be written.
        """
        path = self._manifest(name)
        sweep = Sweep(name, entries, now())
        self._write(path, {"created": sweep.created, "runs": [asdict(entry) for entry in entries]})
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
                sweep, path = self.sweep(name), self._manifest(name)
                left = [entry for entry in sweep.entries if entry.run_id not in run_ids]
                if not left:
                    path.unlink()
                elif len(left) < len(sweep.entries):
                    times = path.stat()
                    self._write(path, {"created": sweep.created, "runs": [asdict(entry) for entry in left]})
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
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged: delete it to declare another plan, and say so") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} is damaged: delete it to declare another plan, and say so")
        return content

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
            content = json.loads(self._measured(paper).read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

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
            replace_json(path, content)

    def _measured(self, paper: str) -> Path:
        return self.root / ".measured" / f"{paper}.json"

    def _plan(self, name: str) -> Path:
        check_name(name)
        return self.root / ".plans" / f"{name}.json"

    def _manifest(self, name: str) -> Path:
        check_name(name)
        return self.root / ".sweeps" / f"{name}.json"


def check_name(sweep: str) -> None:
    """See that a sweep can have this name.

    Raises:
        ValueError: When it cannot; it says what a name is.
    """
    if not re.fullmatch(r"\w[\w.-]*", sweep):
        raise ValueError(f"a sweep's name is letters, digits, dot, dash and underscore; not {sweep!r}")
