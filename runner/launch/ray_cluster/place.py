"""What Ray starts on a node for one run: it starts the run's process there, stops it when told, and says how it ended.

An actor and not a task: Ray stops a task by an interrupt from the keyboard, to which a process that a shell started in
the background is deaf.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

from batchlab.runner.launch.environment import launched
from batchlab.runner.launch.process import BUSY, STOP_GRACE

LEASE = 120
"""Seconds that a file server may keep the lock of a node that died; NFSv4 servers take 90."""


class Place:
    """The devices of one run. Ray runs `train` in one thread and the rest in another."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def host(self) -> str:
        """Where it is; that it answers says that the run has devices."""
        return platform.node()

    def train(self, folder: str, here: str, variables: dict[str, str], again: bool) -> int:
        """Train a run; returns its exit code.

        Args:
            folder: The run's.
            here: Where the command was called, for modules beside it.
            variables: Of the environment.
            again: Its node died: its lock may be held a little longer.

        Raises:
            FileNotFoundError: This node does not see the run's folder.
        """
        if not (Path(folder) / "config.yaml").exists():
            raise FileNotFoundError(
                f"{platform.node()} sees no {folder}: --runs must name a folder that all nodes share"
            )
        deadline = time.monotonic() + (LEASE if again else 0)
        while True:
            code = self._train(folder, here, variables)
            if code != BUSY or self.told.is_set() or time.monotonic() > deadline:
                return code
            time.sleep(1)

    def _train(self, folder: str, here: str, variables: dict[str, str]) -> int:
        log = Path(folder) / "log" / "launch.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "batchlab.runner.launch.job", folder, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=launched(os.environ) | variables,
                cwd=here if Path(here).is_dir() else None,
            )
        while True:
            try:
                return self.process.wait(1)
            except subprocess.TimeoutExpired:
                continue

    def stop(self) -> None:
        """Tell it to write its checkpoint and end; kill it where it does not."""
        self.told.set()
        if (process := self.process) is None:
            return
        process.terminate()
        try:
            process.wait(2 * STOP_GRACE)  # by then the agent has killed its ranks and settled
        except subprocess.TimeoutExpired:
            process.kill()
