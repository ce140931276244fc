"""Runs that wait for workers of a cluster: the store is the queue, so that whoever submits need not live on.

    runs/.queue/<shape>/shape.json        what workers of this shape ask the cluster for
    runs/.queue/<shape>/entries/<run_id>  a run that is wanted; gone once it has ended, or nobody wants it any more
    runs/.queue/<shape>/events/<worker>   JSON lines of one worker: what it began, and what has ended
    runs/.queue/<shape>/log/              what workers print

Who trains a run is decided by the run's own lock, as everywhere. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import remove_strays, writing
from batchlab.results.store.locks import ELSEWHERE
from batchlab.results.store.objects import BYTES, parse_object, write_object
from batchlab.results.store.regular import content_of, open_file
from batchlab.results.store.runs import RunStore
from batchlab.results.store.shapes import RUN_ID, anything

FOLDER = ".queue"
LEFT = "left"
"""The event of a worker that takes no more runs, though its job may be seen for a little longer."""
AGAIN = "back in the queue"
"""How the reason of a run ends that goes on by itself."""


@dataclass(frozen=True)
class Queue:
    """The runs that workers of one shape take."""

    folder: Path

    @classmethod
    def of(cls, store: RunStore, shape: str) -> Queue:
        """The queue of this shape; it need not be there."""
        return cls(store.root / FOLDER / shape)

    @property
    def shape(self) -> str:
        """Its name, a hash of what its workers ask for."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """Folder of what workers print."""
        return self.folder / "log"

    def declare(self, shape: dict[str, Any]) -> None:
        """Make the folders, and write down what workers ask for.

        Raises:
            ValueError: With the way out, when it cannot be written.
        """
        with writing(self.folder, ELSEWHERE):
            for name in ("entries", "events", "log"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            remove_strays(self.folder)
            write_object(self.folder / "shape.json", shape)

    def described(self) -> dict[str, Any]:
        """What `declare` wrote; empty where nothing readable is there."""
        try:
            return parse_object(content_of(self.folder / "shape.json"), anything)
        except (OSError, ValueError):
            return {}

    def add(self, run_id: str) -> bool:
        """Ask for a run; False where it is asked for already."""
        try:
            descriptor = os.open(self._entry(run_id), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as entry:
            entry.write(f"{time.time_ns():020d}\n")
        return True

    def remove(self, run_id: str) -> None:
        """Nobody need train a run any more."""
        self._entry(run_id).unlink(missing_ok=True)

    def wanted(self, run_id: str) -> bool:
        """Whether a run is asked for."""
        return self._entry(run_id).exists()

    def entries(self) -> set[str]:
        """The runs that are asked for: one look at one folder."""
        try:
            return {name for name in os.listdir(self.folder / "entries") if RUN_ID.fullmatch(name)}
        except FileNotFoundError:
            return set()

    def place(self, run_id: str) -> str:
        """What runs are ordered by: when they were asked for. It does not change while they are."""
        with contextlib.suppress(OSError):
            return content_of(self._entry(run_id)).decode(errors="replace")
        return ""

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else submits workers within the block, and no worker leaves."""
        with open(self.folder / "lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def tell(self, worker: str, event: str, run_id: str | None = None, **more: Any) -> None:
        """Append an event to a worker's own file."""
        line = {"event": event, "run": run_id, "time": time.time()} | more
        with open(self.folder / "events" / worker, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def heard(self, since: dict[str, int]) -> list[tuple[str, dict[str, Any]]]:
        """Events that are new, with their worker's name, each worker's in their order.

        Args:
            since: How far each worker's file was read; it is moved on.
        """
        found = []
        for worker in self.workers():
            with contextlib.suppress(OSError), open_file(self.folder / "events" / worker) as file:
                file.seek(since.get(worker, 0))
                whole, newline, _ = file.read(BYTES).rpartition(b"\n")  # a line that is being written is read next time
                since[worker] = since.get(worker, 0) + len(whole + newline)
                for line in whole.splitlines():
                    with contextlib.suppress(ValueError, RecursionError):
                        event = json.loads(line)
                        found += [(worker, event)] if isinstance(event, dict) else []
        return found

    def workers(self) -> list[str]:
        """Those that have told anything since the queue was last without any."""
        try:
            return sorted(os.listdir(self.folder / "events"))
        except FileNotFoundError:
            return []

    def gone(self) -> set[str]:
        """Workers that take no more runs."""
        last = {worker: event.get("event") for worker, event in self.heard({})}
        return {worker for worker, event in last.items() if event == LEFT}

    def tidy(self) -> None:
        """Forget what earlier workers told; only where none is left."""
        for folder in ("events", "log"):
            for path in (self.folder / folder).iterdir():
                path.unlink(missing_ok=True)

    def _entry(self, run_id: str) -> Path:
        return self.folder / "entries" / run_id


def queues(store: RunStore) -> list[Queue]:
    """Every queue of a store; none where no cluster was asked for anything."""
    try:
        names = sorted(os.listdir(store.root / FOLDER))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [Queue.of(store, name) for name in names if not name.startswith(".")]
