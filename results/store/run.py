"""One run on disk: its folder, its state and its lock.

A run's state is a few words of JSON, replaced atomically. Whether a run is alive is not written down but
held: `Run.hold` keeps an fcntl lock as long as a process of the run lives, and the kernel drops it when the
last one dies, however it dies. A run that says `running` while its lock is free has crashed.

Where a file system grants the lock to every host at the same time, `owner` tells who has the run (`owner.py`). It is
assumed of the file system that a file can be created exclusively, that renaming is atomic, and that a file which is
opened anew shows what another host wrote; of the hosts, that their clocks differ by less than a minute.

Of run.json two keys are of the files beside it: `sealed`, the sizes in bytes of the Parquet files, by which a run that
is done and whose rows are gone is known to every reader; `warnings`, lines for `batchlab status` about what happened to
the run that its numbers do not show (a checkpoint that was damaged). `checksum` is of run.json itself (`objects.py`).

`seconds` says where a run's time went beside `train_seconds` and `eval_seconds`: `start`, from its launch to its first
step, less reading the data; `data`, reading them and making batches, of which `data_training` lies within
`train_seconds`; `tune`, a solver's search for its step; `write`, rows, checkpoints and sealing, of which
`write_evaluating` lies within `eval_seconds`. Runs of earlier versions have none of it. What runs did together is
divided by their number. `commands` has, by the command that asked for it, the first one first, what a run that goes on
from another command's checkpoint had spent in all by then (`train_seconds`, `eval_seconds`, `seconds`); of the last,
who spent the rest, nothing. Runs of earlier versions, and of engines that do not say, have none.

Of a run whose last try was in one process with others, `group` is the first of them. `fused` is how many trained at
once where seconds of the run are a share of theirs, be it only those before a checkpoint that it went on from alone;
solvers take turns, and have none. `apart` is why a run was to be trained alone after all, until it is started again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from batchlab.results.store import exhausted, owner
from batchlab.results.store.atomic import overwrite, remove_strays, replace_text, scribble, writing
from batchlab.results.store.locks import ELSEWHERE, acquire, holder_of, locked, no_locks, same
from batchlab.results.store.objects import formatted, parse_object, write_object
from batchlab.results.store.parquet import looks_whole
from batchlab.results.store.regular import content_of
from batchlab.results.store.shapes import PROGRESS, RUN


class State(StrEnum):
    """What a run is doing. `crashed` and `damaged` are read off the disk, never written.

    `cancelled` is a run whose job somebody took out of a scheduler's queue: it goes on as an interrupted one does.
    """

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    DAMAGED = "damaged"


WRITABLE = frozenset(State) - {State.CRASHED, State.DAMAGED}
_DESCRIPTORS: dict[Path, int] = {}
"""Of the runs that this process holds, the open files that are locked, by folder."""
FINISHED = frozenset({State.DONE, State.DIVERGED})  # results; never trained again


Stream = Literal["metrics", "steps", "layers", "examples"]
STREAMS: tuple[Stream, ...] = ("examples", "layers", "steps", "metrics")  # metrics sealed: all sealed
STATE_FILE = "run.json"
BEGINS = ("config.yaml", STATE_FILE, "metrics.parquet", "metrics.jsonl")
"""There is something of a run in a folder that has one of these."""
SECONDS = "seconds"
"""The key of run.json that has where a run's time went beside `train_seconds` and `eval_seconds`, see `Run`."""
COMMANDS = "commands"
"""The key of run.json that has who spent what of it, see `Run`."""
SEALED = "sealed"
"""The key of run.json that has the sizes in bytes of the Parquet files that were sealed, by name."""


class RunBusyError(ValueError):
    """Another process is training this run."""


class RunLostError(RunBusyError):
    """Another process took this run from this one, which it took for dead; it is not to be touched any more."""


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
    """One run's folder: the only place that knows the names of its files.

    Attributes:
        folder: Where it is.
        token: Of a process that holds it, what it holds it by (see `owner.py`): it writes only while the run is its
            own. Empty for all others.
    """

    folder: Path
    token: str = field(default="", compare=False, repr=False)

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
        return self.folder / STATE_FILE

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
    def checkpoint_before(self) -> Path:
        """What it starts from where that is damaged."""
        return self.folder / "checkpoint.before.pt"

    @property
    def checkpoints(self) -> list[Path]:
        """Those that are there, the latest first."""
        return [path for path in (self.checkpoint, self.checkpoint_before) if path.exists()]

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
        folder = str(self.folder)  # texts, as below: a path costs more to make than to look at, and a store has 5,000
        return any(os.path.exists(f"{folder}/{name}") for name in BEGINS)

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
        """Freeze the configuration, atomically; the disk is waited for when the run is over."""
        self.create()
        replace_text(self.config, text, durable=False)

    def read_state(self) -> RunState:
        """The run's state now. What cannot be read is the state `damaged`; only where no file can be opened it raises.

        So is a run that has ended and whose rows are visibly not what was sealed: missing, or of another size. Whether
        their content is, is found when it is read.
        """
        state = self._said()
        if state.state in FINISHED and (why := self._lost(state)):
            return RunState(State.DAMAGED, f"{why}: delete {self.folder} to train the run again", state.info)
        return state

    def _said(self) -> RunState:
        """What run.json says, whatever the files beside it are."""
        try:
            content = content_of(f"{self.folder}/{STATE_FILE}")
        except FileNotFoundError:
            return RunState(State.PENDING)
        except OSError as error:
            if error.errno in exhausted.OPEN_FILES:  # says nothing of the file
                raise
            return self._damaged(f"cannot be read ({error.strerror})")
        try:
            info = parse_object(content, RUN)
            state = State(info.pop("state"))
        except ValueError as error:
            known = str(error) if str(error).startswith("is not") else "is not the JSON object it should be"
            return self._damaged(known)
        if state is State.RUNNING and not self.held():
            return RunState(State.CRASHED, "its process ended without saying why; a sweep resumes it", info)
        reason = info.get("reason")
        return RunState(state, None if reason is None else " ".join(str(reason).split()), info)

    def _lost(self, state: RunState) -> str:
        """Which of the files that were sealed is not what it was, as far as its size tells; empty where none is."""
        sizes = state.info.get(SEALED)
        if sizes is None:  # of an earlier version
            if state.state is State.DONE and not (self.metrics.exists() or self.stream("metrics").exists()):
                return f"{self.metrics} is missing"
            broken = [path for path in map(self.sealed, STREAMS) if path.exists() and not looks_whole(path)]
            return f"{broken[0]} is damaged" if broken else ""
        for name in (f"{stream}.parquet" for stream in STREAMS if f"{stream}.parquet" in sizes):
            path = f"{self.folder}/{name}"
            try:
                size = os.stat(path).st_size
            except OSError:
                return f"{path} is missing"
            if size != sizes[name]:
                return f"{path} is damaged: it has {size:,} bytes, and had {sizes[name]:,}"
        return ""

    def write_state(self, *, durable: bool = True, **changes: Any) -> RunState:
        """Merge `changes` into `run.json`, atomically. A damaged file is kept as `run.json.damaged` and begun anew.

        Args:
            durable: Whether to wait until it is on disk; not where what is written is written again soon.
            **changes: Keys to write; None removes one. `state` takes the members of `State` or their names, `reason`
                is one line for `batchlab status`.

        Returns:
            What the file says now.
        """
        self.check_owned()
        current = self._said()
        if current.state is State.DAMAGED:
            os.replace(self.state_file, self.state_file.with_name("run.json.damaged"))
        before = State.RUNNING if current.state is State.CRASHED else current.state
        state = State(changes.pop("state", State.PENDING if before is State.DAMAGED else before))
        assert state in WRITABLE, f"{state} is read off the disk, never written"
        info = current.info | {"changed": now()} | changes
        info = {key: value for key, value in info.items() if value is not None}
        self.create()
        write_object(self.state_file, {"state": state} | info, durable=durable)
        return RunState(state, info.get("reason"), info)

    def write_end(self, **changes: Any) -> None:
        """`write_state` of a run that ends, also where no room is left for another file.

        What the live display reads gives way. Where that is not enough run.json is written over in place, if its blocks
        hold the new content: by one write, so that a kill leaves the one or the other.

        Args:
            **changes: As of `write_state`.
        """
        with contextlib.suppress(OSError):
            self.progress.unlink(missing_ok=True)
        try:
            self.write_state(**changes)
        except OSError as error:
            current = self._said()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or current.state is State.DAMAGED:
                raise
            info = current.info | {"changed": now()} | changes
            kept = {key: value for key, value in info.items() if value is not None}
            content = formatted(kept, least=self.state_file.stat().st_size)
            if not overwrite(self.state_file, content):
                raise

    def warn(self, line: str) -> None:
        """Add a line to what `batchlab status` says of this run."""
        self.write_state(warnings=[*self._said().info.get("warnings", []), line])

    def read_progress(self) -> dict[str, Any]:
        """What `write_progress` said last; empty when there is nothing readable."""
        try:
            return parse_object(content_of(self.progress), PROGRESS)
        except (OSError, ValueError):
            return {}

    def write_progress(self, **progress: Any) -> None:
        """Say how far the run is, without waiting for the disk: not even for a rename, which takes milliseconds."""
        scribble(self.progress, progress)

    def held(self) -> bool:
        """Whether a process holds this run. Asking takes the lock for an instant (see `hold`)."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in exhausted.OPEN_FILES:
                raise
            return False
        try:
            return not locked(descriptor, fcntl.LOCK_SH) or owner.lives(self.folder)
        except OSError:  # where there are no locks nothing is trained, see `RunStore.prepare`
            return False
        finally:
            os.close(descriptor)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The locked open file, in a process that holds the run: a program that is executed may inherit it."""
        return (_DESCRIPTORS[self.folder],) if self.folder in _DESCRIPTORS else ()

    @contextlib.contextmanager
    def hold(self) -> Iterator[Run]:
        """Own this run until the block ends, so that no two processes train it.

        The lock belongs to the open file: processes forked inside the block share it, and the run counts as
        alive until the last of them ends. Programs that are executed inherit it where they are given `descriptors`.

        Returns:
            The run as its owner has it.

        Raises:
            RunBusyError: When somebody else has it; it names the holder.
            ValueError: With the way out, when the folder cannot be written, or has no locks.
        """
        while True:
            self.create()
            with writing(self.folder, ELSEWHERE):
                descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                acquired, holder = acquire(descriptor), holder_of(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise ValueError(no_locks(self.folder.parent, error)) from error
            if not acquired:
                os.close(descriptor)
                raise RunBusyError(f"run {self.run_id} is being trained by {holder}")
            if same(descriptor, self.lock):
                break
            os.close(descriptor)  # its folder was set aside or removed meanwhile: what is locked is another run's
        try:
            with self._owned() as held:
                remove_strays(self.folder)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                _DESCRIPTORS[self.folder] = descriptor
                yield held
        finally:
            _DESCRIPTORS.pop(self.folder, None)
            with contextlib.suppress(OSError):  # a rank that was killed may only have been gone after the start
                remove_strays(self.folder)
            os.close(descriptor)

    @contextlib.contextmanager
    def _owned(self) -> Iterator[Run]:
        """Be this run's owner for hosts too that the lock does not reach; the folder may be moved in the block."""
        with writing(self.folder, ELSEWHERE):
            folder = os.open(self.folder, os.O_RDONLY)
            mine: owner.Owner | str = ""
            try:
                mine = owner.take(folder)
            finally:
                if not isinstance(mine, owner.Owner):
                    os.close(folder)
        if isinstance(mine, str):
            raise RunBusyError(f"run {self.run_id} is being trained by {mine}")
        try:
            yield Run(self.folder, mine.token)
        finally:
            owner.leave(folder, mine)
            os.close(folder)

    def check_owned(self) -> None:
        """See that this process, if it holds the run, still does.

        Raises:
            RunLostError: Another one has taken it.
        """
        if not self.token:
            return
        found = owner.owner_of(self.folder)
        if found is None or found.token != self.token:
            by = found or "another process"
            raise RunLostError(f"run {self.run_id} was taken by {by} meanwhile: left alone, nothing more is written")

    def _damaged(self, why: str) -> RunState:
        reason = f"{self.state_file} {why}; delete it to train the run again (its rows are kept)"
        return RunState(State.DAMAGED, reason)


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
