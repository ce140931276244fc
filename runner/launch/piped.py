"""A process that is told one JSON command per line and tells one JSON event per line; it ends with its input."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


class Piped:
    """Starts such a process, in a session of its own: a terminal's Ctrl-C comes to this process alone.

    Args:
        module: What it runs, as `python -m` does.
        *arguments: Of its command line.
        environment: Its variables.
        quiet: What it prints is nobody's: it tells all there is to say.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str], quiet: bool = False) -> None:
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env=environment,
            start_new_session=True,
        )
        self.pid = self.process.pid
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.events.put(json.loads(line))
        self.events.put({"gone": self.process.wait()})

    def tell(self, command: dict[str, Any]) -> None:
        """Give a command. That the process is gone, `event` tells."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()

    def event(self, seconds: float) -> dict[str, Any] | None:
        """What it told next, after `seconds` at most; {"gone": code} is the last."""
        with suppress(queue.Empty):
            return self.events.get(timeout=max(0.0, seconds))
        return None

    def end(self, patience: float) -> None:
        """End its input, wait so many seconds, and kill what is left."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
