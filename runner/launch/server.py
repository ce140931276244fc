"""A warm process that forks runs: torch is imported once, CUDA is never touched here.

It reads one JSON command per line on stdin and writes one JSON event per line on stdout:

    {"start": ["runs/ab12"], "launcher": "fork", "env": {..}}   {"started": ["runs/ab12"], "pid": 7}
                                                                and later {"ended": "runs/ab12", "code": 0}
    {"stop": "runs/ab12"}                                       the run is told to stop; its end is told as any other

Runs that are started by one command train together in one process. Each has its own end; who stops one stops all.

End of input stops every run, so that a parent that dies leaves none behind. A process that cannot even import what runs
need says {"unable": why} and ends.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchlab.results.store import exhausted
from batchlab.runner import streams
from batchlab.runner.launch.launch import LAUNCHERS, elastic_together, run_job, run_jobs
from batchlab.runner.launch.process import STOP_GRACE, die_with_parent


class Server:
    """The loop over commands and ended children."""

    def __init__(self, commands: int, events: int) -> None:
        self.commands = commands
        self.events = events
        self.children: dict[int, tuple[list[str], int]] = {}
        """Of each child its runs, and where it says the exit code of each of them."""
        self.told: dict[int, float] = {}
        """Children that were told to stop, once, as a second SIGTERM would break into the end that the first began; and
        when they are killed: an agent that waits in a library never hears of a signal."""
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)
        os.set_blocking(self.wake_read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Obey commands until the input ends; then stop what runs, and return."""
        selector = selectors.DefaultSelector()
        selector.register(self.commands, selectors.EVENT_READ)
        selector.register(self.wake_read, selectors.EVENT_READ)
        pending = b""
        self.tell({"ready": os.getpid()})
        while True:
            for key, _ in selector.select(self.patience()):
                if key.fd == self.wake_read:
                    os.read(self.wake_read, 4096)
                    self.reap()
                    continue
                chunk = os.read(self.commands, 1 << 16)
                if not chunk:
                    self.stop_all()
                    return
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))
            self.kill_overdue()

    def obey(self, command: dict[str, Any]) -> None:
        """Carry out one command."""
        if "start" in command:
            self.fork(command["start"], command["launcher"], command["env"])
        elif "stop" in command:
            self.stop(pid for pid, (paths, _) in self.children.items() if command["stop"] in paths)

    def fork(self, paths: list[str], launcher: str, environment: dict[str, str]) -> None:
        """Fork a child that runs one job and exits."""
        server = os.getpid()
        codes, say = os.pipe()
        os.set_blocking(codes, False)
        signal.pthread_sigmask(
            signal.SIG_BLOCK, (signal.SIGTERM,)
        )  # until the child no longer ignores it, as this does
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
                die_with_parent(parent=server)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(self.commands)
                os.environ.update(environment)
                each = train([Path(path) for path in paths], launcher)
                os.write(say, json.dumps(each).encode())
                code = each[0]
            except BaseException as error:
                import traceback

                code = exhausted.code_of(error) or code
                if not exhausted.of_code(code):  # that is said by the parent, and this may be the user's terminal
                    traceback.print_exc()
            finally:
                with suppress(Exception):  # a log on a full disk: this process must not go on as another server
                    sys.stderr.flush()
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        os.close(say)
        self.children[pid] = paths, codes
        self.tell({"started": paths, "pid": pid})

    def reap(self) -> None:
        """Report every child that has ended."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            paths, said = self.children.pop(pid)
            codes = [os.waitstatus_to_exitcode(status)] * len(paths)
            with suppress(BlockingIOError, ValueError):  # killed before it could say them
                codes = json.loads(os.read(said, 1 << 16))
            os.close(said)
            for path, code in zip(paths, codes, strict=True):
                self.tell({"ended": path, "code": code})

    def stop(self, pids: Iterable[int]) -> None:
        """Send SIGTERM to these children, once to each."""
        for pid in set(pids) - self.told.keys():
            self.told[pid] = time.monotonic() + 2 * STOP_GRACE  # by then the agent has killed its ranks and settled
            os.kill(pid, signal.SIGTERM)

    def patience(self) -> float | None:
        """Seconds until the first of those that were told to stop is overdue; None where none was."""
        due = min((self.told.get(pid, math.inf) for pid in self.children), default=math.inf)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def kill_overdue(self) -> None:
        """Send SIGKILL to those that have not ended in time; their ranks die with them."""
        for pid in [pid for pid in self.children if self.told.get(pid, math.inf) < time.monotonic()]:
            self.told[pid] = math.inf
            os.kill(pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """Send SIGTERM to all, wait until their checkpoints are written, send SIGKILL to those that are left."""
        self.stop(self.children)
        deadline = time.monotonic() + STOP_GRACE
        while self.children and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.02)
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)

    def tell(self, event: dict[str, Any]) -> None:
        """Write one event to the parent; that a parent is gone shows where the input ends."""
        try:
            os.write(self.events, json.dumps(event).encode() + b"\n")
        except BrokenPipeError:
            return


def train(paths: Sequence[Path], launcher: str) -> list[int]:
    """Train runs in this process, which prints into the log of the first from now on; returns the exit code of each."""
    from batchlab.results.store.run import Run

    run, *others = runs = [Run(path) for path in paths]
    run.log.mkdir(parents=True, exist_ok=True)
    for other in others:
        other.log.mkdir(parents=True, exist_ok=True)
        with (other.log / "launch.log").open("a") as log:
            log.write(f"trained together with {run.run_id}: what is said of it is in the logs there\n")
    with (run.log / "launch.log").open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return run_jobs(runs, elastic_together) if others else [run_job(run, LAUNCHERS[launcher])]


def main() -> None:
    """Warm up, then serve on the standard streams."""
    die_with_parent(parent=os.getppid())  # while it imports it would not see the end of its input for seconds
    streams.prepare()  # first: who takes a closed stream's number is printed into
    commands, events = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # a stray print must not look like an event
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a scheduler sends it to every process; what ends this is its input
    try:
        from batchlab.runner.launch import warm

        warm.imports(sys.argv[1:])
    except Exception as error:  # a variable of torch's that it does not accept, say
        why = " ".join(str(error).split()) or type(error).__name__
        os.write(events, json.dumps({"unable": why}).encode() + b"\n")
        os._exit(1)
    die_with_parent(0, parent=os.getppid())  # from now on the end of the input stops the runs in order
    Server(commands, events).serve()
    os._exit(0)  # torch takes seconds to tidy up a process that has nothing to tidy


if __name__ == "__main__":
    main()
