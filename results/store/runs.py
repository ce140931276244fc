"""Where runs live on disk. Standard library only: `batchlab status` must not wait for NumPy or pandas.

    runs/<run_id>/            config.yaml  run.json  metrics.parquet  steps.parquet  layers.parquet
                              log/  checkpoint.pt  progress  lock
    runs/.sweeps/<name>.json  the runs of a sweep in order, with their labels and overrides
    runs/.measured/<paper>.json  what a paper's reproduction measured apart from its runs

A run's state is a few words of JSON, replaced atomically. Whether a run is alive is not written down but
held: `Run.hold` keeps an fcntl lock as long as a process of the run lives, and the kernel drops it when the
last one dies, however it dies. A run that says `running` while its lock is free has crashed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import remove_strays, replace_json, replace_text, writing


class State(StrEnum):
    """What a run is doing. `crashed` and `damaged` are read off the disk, never written."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    DAMAGED = "damaged"


WRITABLE = frozenset(State) - {State.CRASHED, State.DAMAGED}
ELSEWHERE = "choose a folder with --runs DIR or BATCHLAB_RUNS"
FINISHED = frozenset({State.DONE, State.DIVERGED})  # results; never trained again


class RunBusyError(ValueError):
    """Another process is training this run."""


@dataclass(frozen=True, slots=True)
class RunState:
    """What `run.json` says of a run.

    Attributes:
        state: What it is doing, or how it ended.
        reason: One line that says why, where there is something to say.
        info: The rest: versions, hardware, git, times.
    """

    state: State
    reason: str | None = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run's folder: the only place that knows the names of its files."""

    folder: Path

    @property
    def run_id(self) -> str:
        """The run's identity, which is its folder's name."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """The frozen configuration; what ranks read."""
        return self.folder / "config.yaml"

    @property
    def state_file(self) -> Path:
        """State, versions, hardware, git, times, error."""
        return self.folder / "run.json"

    @property
    def metrics(self) -> Path:
        """The sealed rows of the evaluations, one per evaluation."""
        return self.folder / "metrics.parquet"

    @property
    def steps(self) -> Path:
        """The sealed rows of the steps, one per step."""
        return self.folder / "steps.parquet"

    @property
    def layers(self) -> Path:
        """The sealed rows of the layers, one per layer and evaluation."""
        return self.folder / "layers.parquet"

    @property
    def log(self) -> Path:
        """Folder with one log per rank."""
        return self.folder / "log"

    @property
    def checkpoint(self) -> Path:
        """What a resume starts from."""
        return self.folder / "checkpoint.pt"

    @property
    def progress(self) -> Path:
        """How far the run is, for the live display."""
        return self.folder / "progress"

    @property
    def lock(self) -> Path:
        """Held while a process of the run lives; its content names the holder."""
        return self.folder / "lock"

    @property
    def begun(self) -> bool:
        """Whether there is anything of a run in the folder: a configuration, a state or rows."""
        return any(path.exists() for path in (self.config, self.state_file, self.metrics, self.stream("metrics")))

    def sealed(self, stream: str) -> Path:
        """The Parquet file of a stream (metrics, steps or layers)."""
        return self.folder / f"{stream}.parquet"

    def stream(self, stream: str) -> Path:
        """The JSON lines a stream is written to until it is sealed."""
        return self.folder / f"{stream}.jsonl"

    def create(self) -> Run:
        """Make the folder.

        Raises:
            ValueError: With the way out, when it cannot be written.
        """
        with writing(self.folder, ELSEWHERE):
            self.log.mkdir(parents=True, exist_ok=True)
        return self

    def write_config(self, text: str) -> None:
        """Freeze the configuration, atomically."""
        self.create()
        replace_text(self.config, text)

    def read_state(self) -> RunState:
        """The run's state now. Never raises: an unreadable `run.json` is the state `damaged`."""
        try:
            content = self.state_file.read_bytes()
        except FileNotFoundError:
            return RunState(State.PENDING)
        except OSError as error:
            return self._damaged(str(error.strerror))
        try:
            info = json.loads(content)
            state = State(info.pop("state"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._damaged("is not the JSON object it should be")
        if state is State.RUNNING and not self.held():
            return RunState(State.CRASHED, "its process ended without saying why; a sweep resumes it", info)
        reason = info.get("reason")
        return RunState(state, None if reason is None else " ".join(str(reason).split()), info)

    def write_state(self, **changes: Any) -> RunState:
        """Merge `changes` into `run.json`, atomically. A damaged file is kept as `run.json.damaged` and begun anew.

        Args:
            **changes: Keys to write; None removes one. `state` takes the members of `State` or their names, `reason`
                is one line for `batchlab status`.

        Returns:
            What the file says now.
        """
        current = self.read_state()
        if current.state is State.DAMAGED:
            os.replace(self.state_file, self.state_file.with_name("run.json.damaged"))
        before = State.RUNNING if current.state is State.CRASHED else current.state
        state = State(changes.pop("state", State.PENDING if before is State.DAMAGED else before))
        assert state in WRITABLE, f"{state} is read off the disk, never written"
        info = current.info | {"changed": now()} | changes
        info = {key: value for key, value in info.items() if value is not None}
        self.create()
        replace_json(self.state_file, {"state": state} | info)
        return RunState(state, info.get("reason"), info)

    def read_progress(self) -> dict[str, Any]:
        """What `write_progress` said last; empty when there is nothing readable."""
        try:
            progress = json.loads(self.progress.read_bytes())
        except (OSError, ValueError):
            return {}
        return progress if isinstance(progress, dict) else {}

    def write_progress(self, **progress: Any) -> None:
        """Say how far the run is, atomically but without waiting for the disk."""
        replace_json(self.progress, progress, durable=False)

    def held(self) -> bool:
        """Whether a process holds this run. Asking takes the lock for an instant (see `hold`)."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextlib.contextmanager
    def hold(self) -> Iterator[Run]:
        """Own this run until the block ends, so that no two processes train it.

        The lock belongs to the open file: processes forked inside the block share it, and the run counts as
        alive until the last of them ends. Programs that are executed do not inherit it.

        Raises:
            RunBusyError: When somebody else has it; it names the holder.
            ValueError: With the way out, when the folder cannot be written.
        """
        self.create()
        with writing(self.folder, ELSEWHERE):
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _acquire(descriptor):
                raise RunBusyError(f"run {self.run_id} is being trained by {_holder(descriptor)}")
            remove_strays(self.folder)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield self
        finally:
            os.close(descriptor)

    def _damaged(self, why: str) -> RunState:
        reason = f"{self.state_file} {why}; delete it to train the run again (its rows are kept)"
        return RunState(State.DAMAGED, reason)


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
            raise ValueError(f"{self.root} is a file: choose a folder with --runs DIR or BATCHLAB_RUNS")

    def prepare(self) -> RunStore:
        """Make the folder and see that it can be written.

        Raises:
            ValueError: With the way out, when it cannot.
        """
        probe = self.root / f".probe.{os.getpid()}"
        with writing(self.root, ELSEWHERE):
            self.root.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
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


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _acquire(descriptor: int, attempts: int = 5) -> bool:
    for attempt in range(attempts):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if attempt + 1 < attempts:  # somebody may only be asking whether the run is held
                time.sleep(0.01)
        else:
            return True
    return False


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
