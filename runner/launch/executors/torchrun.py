"""Several machines without an engine: torchrun across them, the same command on each, one shared runs folder.

    runs/.machines/HOST-PORT         who leads: locked as long as a command does
    runs/.machines/HOST-PORT.json    what is trained now: {"run": ..., "round": ...}

Whose command comes first leads: it trains its runs one after the other and settles their states. The others lend their
ranks to whatever is trained, until their own runs are over; where the leader is gone, one of them leads on.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from batchlab.results.store.locks import locked
from batchlab.results.store.objects import parse_object, write_object
from batchlab.results.store.regular import content_of
from batchlab.results.store.run import FINISHED, Run
from batchlab.results.store.shapes import RUN_ID, anything
from batchlab.runner.launch.executors.base import Began, Ended, Executor
from batchlab.runner.launch.process import INTERRUPTED, STOP_GRACE, die_with_parent
from batchlab.runner.plan.checks import ConfigError, check_kind, check_least
from batchlab.runner.plan.schema import Node

ENDPOINT = re.compile(r"[\w.:\[\]-]+:\d{1,5}", re.ASCII)
PATIENCE = 7 * 24 * 3600
"""Seconds that a machine waits for the others."""
QUEUED = 64
"""Runs that a command has in its queue at a time."""
LOOK_SECONDS = 0.1


class TorchrunExecutor(Executor):
    """Trains runs across machines, one after the other.

    Args:
        nnodes: machines; a run's ranks are split over them.
        rdzv_endpoint: HOST:PORT at which they meet.
        local_addr: this machine's address, where the others cannot find it by its name.
        threads: CPU threads per rank.

    Raises:
        ConfigError: a value that makes no sense.
    """

    queues = True

    def __init__(self, *, rdzv_endpoint: str, nnodes: int = 2, local_addr: str | None = None, threads: int = 1) -> None:
        self.nodes = check_least("executor.nnodes", nnodes, 1)
        self.threads = check_least("executor.threads", threads, 1)
        if not ENDPOINT.fullmatch(check_kind("executor.rdzv_endpoint", rdzv_endpoint, str)):
            raise ConfigError(f"executor.rdzv_endpoint={rdzv_endpoint}: HOST:PORT, where one of the machines is HOST")
        self.endpoint = rdzv_endpoint
        self.address = check_kind("executor.local_addr", local_addr, str, optional=True)
        self.folder: Path | None = None
        self.leading: int | None = None
        """The locked file, while this command leads."""
        self.queue: deque[Run] = deque()
        self.now: tuple[Run, subprocess.Popen[bytes], bool] | None = None
        """What is trained, the process of this machine's share, and whether the run is one of this command's."""
        self.round = ""
        """The last one that this machine took part in."""
        self.over = 0.0
        """When what is trained here was seen to be over."""
        self.said: list[Began | str] = []
        self.dropped: list[Ended] = []

    def check(self, trees: Sequence[Node]) -> None:
        """See that every run's ranks divide over the machines.

        Raises:
            ConfigError: they do not.
        """
        for nproc in {int(tree["nproc"]) for tree in trees}:
            if nproc % self.nodes:
                raise ConfigError(f"nproc={nproc} ranks do not divide over executor.nnodes={self.nodes} machines")

    def at(self, folder: Path) -> None:
        """Where the runs are."""
        self.folder = folder / ".machines"
        self.folder.mkdir(exist_ok=True)

    def room(self, nproc: int) -> bool:
        """Whether the queue is short."""
        return len(self.queue) < QUEUED

    def start(self, run: Run, nproc: int) -> None:
        """Put a run at the end of the queue."""
        self.queue.append(run)

    def wait(self, seconds: float) -> list[Ended]:
        """Lead, or follow, for some seconds."""
        deadline = time.monotonic() + seconds
        ended, self.dropped = self.dropped, []
        while True:
            ended += self._ended()
            if self.now is None:
                ended += self._over()
                self._next()
            if ended or time.monotonic() > deadline:
                return ended
            time.sleep(min(LOOK_SECONDS, seconds))

    def news(self) -> list[Began | str]:
        """Runs that began, others that this machine lends ranks to, and who leads."""
        said, self.said = self.said, []
        return said

    def detach(self) -> str:
        """There is nobody to leave them to.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("--detach: executor=torchrun has no queue that would train them: leave the command running")

    def stop(self, run: Run | None = None) -> None:
        """Stop what is trained here, and drop what is queued."""
        dropped = [queued for queued in self.queue if run in (None, queued)]
        self.dropped += [Ended(queued, INTERRUPTED) for queued in dropped]
        self.queue = deque(queued for queued in self.queue if queued not in dropped)
        if self.now is not None and run in (None, self.now[0]):
            self.now[1].send_signal(signal.SIGTERM)

    def close(self, *, kill: bool = False) -> None:
        """End this machine's share, and lead no more.

        Of a run that is over agents take leave of each other: one that is missing keeps the leader's for five minutes.
        """
        if self.now is not None:
            (run, process, _), self.now, self.over = self.now, None, 0.0
            over = not kill and run.read_state().state in FINISHED
            if not (over and _ends(process, STOP_GRACE)):
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
                if not _ends(process, 2 * STOP_GRACE):
                    process.kill()
                    process.wait()
        if self.leading is not None:
            os.close(self.leading)
            self.leading = None

    def _ended(self) -> list[Ended]:
        """The run whose share of this machine has ended, once its leader has settled it."""
        if self.now is None:
            return []
        run, process, own = self.now
        code = process.poll()
        if code is None:
            if self.leading is None and self._announced()[1] != self.round:  # it began anew without us
                process.send_signal(signal.SIGTERM)
            elif run.read_state().state in FINISHED:
                self.over = self.over or time.monotonic()
                if time.monotonic() > self.over + STOP_GRACE:  # an agent waits for one whose machine was lost
                    process.send_signal(signal.SIGTERM)
            return []
        self.over = 0.0
        if self.leading is None and run.held():
            return []
        self.now = None
        return [Ended(run, code)] if own else []

    def _over(self) -> list[Ended]:
        """Runs at the head of the queue that are over already, by another command."""
        ended = []
        while self.queue and self.queue[0].read_state().state in FINISHED:
            ended.append(Ended(self.queue.popleft(), 0))
        return ended

    def _next(self) -> None:
        """Begin the next run of the queue where this command leads, or take part in what the leader trains."""
        if self.leading is None and self.queue and self._lead():
            self.said.append(f"this machine leads {self.nodes} machines, which meet at {self.endpoint}")
        if self.leading is not None:
            if self.queue:
                run, self.round = self.queue.popleft(), uuid.uuid4().hex[:12]
                write_object(self._file(".json"), {"run": run.run_id, "round": self.round})
                self._begin("lead", run, own=True)
            return
        run_id, announced = self._announced()
        if announced and announced != self.round and self.folder is not None:
            run, self.round = Run(self.folder.parent / run_id), announced
            own = run in self.queue
            if own:
                self.queue.remove(run)
            else:
                self.said.append(f"lending ranks to run {run_id}")
            self._begin("lend", run, own=own)

    def _begin(self, role: str, run: Run, *, own: bool) -> None:
        run.create()
        meet = (
            *("--nnodes", str(self.nodes), "--rdzv-backend", "c10d", "--rdzv-endpoint", self.endpoint),
            *("--rdzv-id", f"{run.run_id}-{self.round}"),
            *("--rdzv-conf", f"join_timeout={PATIENCE},last_call_timeout=1,read_timeout=60"),
            *(("--local-addr", self.address) if self.address else ()),
        )
        command = (sys.executable, "-m", "batchlab.runner.launch.machines", role, str(run.folder), str(self.nodes))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        with (run.log / f"launch{'' if role == 'lead' else f'-{os.uname().nodename}'}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *meet],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | threads,
                start_new_session=True,  # a terminal's Ctrl-C comes to this process alone
                preexec_fn=partial(die_with_parent, signal.SIGTERM, os.getpid()),
            )
        self.now = run, process, own
        if own:
            self.said.append(Began(run))

    def _lead(self) -> bool:
        """Whether this command leads from now on."""
        descriptor = os.open(self._file(""), os.O_RDWR | os.O_CREAT, 0o644)
        if locked(descriptor, fcntl.LOCK_EX):
            self.leading = descriptor
            return True
        os.close(descriptor)
        return False

    def _announced(self) -> tuple[str, str]:
        """Run and round that the leader said last; empty texts where there is nothing readable."""
        try:
            said = parse_object(content_of(self._file(".json")), anything)
            run_id, announced = str(said["run"]), str(said["round"])
        except (OSError, ValueError, KeyError):
            return "", ""
        return (run_id, announced) if RUN_ID.fullmatch(run_id) else ("", "")

    def _file(self, ending: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{re.sub(r'[^A-Za-z0-9.]', '-', self.endpoint)}{ending}"


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
