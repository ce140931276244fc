"""One run on disk: its folder, its state and its lock.

A run's state is a few words of JSON, replaced atomically. Whether a run is alive is not written down but
held: `Run.hold` keeps an fcntl lock as long as a process of the run lives, and the kernel drops it when the
last one dies, however it dies. A run that says `running` while its lock is free has crashed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    def examples(self) -> Path:
        """The sealed row that says which test examples were right at the end, where that was asked for."""
        return self.folder / "examples.parquet"

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
        """The Parquet file of a stream (metrics, steps, layers or examples)."""
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
            return not locked(descriptor, fcntl.LOCK_SH)
        except OSError:  # where there are no locks nothing is trained, see `RunStore.prepare`
            return False
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def hold(self) -> Iterator[Run]:
        """Own this run until the block ends, so that no two processes train it.

        The lock belongs to the open file: processes forked inside the block share it, and the run counts as
        alive until the last of them ends. Programs that are executed do not inherit it.

        Raises:
            RunBusyError: When somebody else has it; it names the holder.
            ValueError: With the way out, when the folder cannot be written, or has no locks.
        """
        while True:
            self.create()
            with writing(self.folder, ELSEWHERE):
                descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                acquired, holder = _acquire(descriptor), _holder(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise ValueError(no_locks(self.folder.parent, error)) from error
            if not acquired:
                os.close(descriptor)
                raise RunBusyError(f"run {self.run_id} is being trained by {holder}")
            if _same(descriptor, self.lock):
                break
            os.close(descriptor)  # its folder was set aside or removed meanwhile: what is locked is another run's
        try:
            remove_strays(self.folder)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield self
        finally:
            os.close(descriptor)

    def _damaged(self, why: str) -> RunState:
        reason = f"{self.state_file} {why}; delete it to train the run again (its rows are kept)"
        return RunState(State.DAMAGED, reason)


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _acquire(descriptor: int, attempts: int = 5) -> bool:
    for attempt in range(attempts):
        if locked(descriptor, fcntl.LOCK_EX):
            return True
        if attempt + 1 < attempts:  # somebody may only be asking whether the run is held
            time.sleep(0.01)
    return False


def locked(descriptor: int, mode: int) -> bool:
    """Lock an open file without waiting; False where somebody else has it.

    Args:
        descriptor: of the file; closing it lets go of the lock.
        mode: fcntl.LOCK_EX or fcntl.LOCK_SH.

    Raises:
        OSError: The file system has no locks, or none left: that says nothing of who has the file.
    """
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def no_locks(folder: Path, error: OSError) -> str:
    """One line for a folder of runs whose files cannot be locked."""
    return (
        f"files in {folder} cannot be locked ({error.strerror}), and locks are what keeps two processes from training "
        f"one run: mount that file system with locks (Lustre: -o flock; NFS: with its lock service), or {ELSEWHERE}"
    )


def _same(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
