"""Launch one frozen run on its ranks and settle its state. Ranks get the path of a file and never see Hydra.

Two launchers do the same work: `fork` starts torchrun's elastic agent in this very process, which must have imported
torch but not touched CUDA; `torchrun` is the command. The first takes tenths of a second, the second imports torch anew
in every process.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from batchlab.results.store.run import FINISHED, Run, RunBusyError, State, now
from batchlab.runner.launch.environment import LOOPBACK, check_loopback, launched
from batchlab.runner.launch.process import BUSY, INTERRUPTED, die_with_parent
from batchlab.runner.plan.schema import RunConfig

MEET_ALONE = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{LOOPBACK}:0", "--local-addr", LOOPBACK)
"""What torchrun's --standalone stands for, without the name localhost and without the host's own."""
Launch = Callable[[Run, RunConfig], None]
"""Starts the ranks of a run and waits for them; raises Interrupted or LaunchFailure."""


class Interrupted(Exception):
    """The run was told to stop."""


def run_job(run: Run, launch: Launch) -> int:
    """Train a run from its frozen configuration; its state is written whatever happens.

    Returns:
        0 when the run ended by itself (done or diverged), 1 when it failed, 130 when it was interrupted, BUSY when
        another process is training it.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with run.hold():
            if run.read_state().state in FINISHED:  # by another sweep, since this one looked
                return 0
            return _train_and_settle(run, launch)
    except RunBusyError as error:
        print(error, flush=True)
        return BUSY
    except Interrupted:
        return INTERRUPTED


def _interrupt(signum: int, frame: object) -> None:
    raise Interrupted


def _train_and_settle(run: Run, launch: Launch) -> int:
    run.write_state(state="running", pid=os.getpid(), host=platform.node(), started=now(), ended=None, reason=None)
    failure: LaunchFailure | None = None
    try:
        launch(run, RunConfig.load(run.config))
    except Interrupted:
        pass
    except LaunchFailure as error:
        failure = error
    except Exception as error:
        failure = LaunchFailure(" ".join(str(error).split()) or type(error).__name__, traceback.format_exc())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows takes no time and must not be cut short
    if failure is not None and run.read_state().state not in FINISHED | {State.INTERRUPTED}:
        (run.log / "traceback.txt").write_text(failure.traceback, encoding="utf-8", errors="replace")
        run.write_state(state="failed", reason=failure.reason, ended=now())
        return 1
    if run.read_state().state is State.RUNNING:  # told to stop before a rank could say so
        run.write_state(state="interrupted", ended=now())
    return INTERRUPTED if run.read_state().state is State.INTERRUPTED else 0


class LaunchFailure(Exception):
    """The first failure of a rank: its reason in one line, and its traceback."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.traceback = text

    @classmethod
    def of(cls, report: Any, rank: int | str, exitcode: int) -> LaunchFailure:
        """From an elastic error file's content; `report` is a message alone where the rank left no file."""
        message = report.get("message", report) if isinstance(report, dict) else report
        if isinstance(message, dict):
            text = str(message.get("extraInfo", {}).get("py_callstack", ""))
            reason = str(message.get("message", "")).strip()
        else:
            text, reason = str(message), str(message).strip()
        reason = (
            reason.splitlines()[0 if isinstance(message, dict) else -1] if reason else ""
        )  # a log ends with its error
        if not reason or exitcode < 0:
            name = signal.Signals(-exitcode).name if exitcode < 0 else f"exit code {exitcode}"
            reason = f"ended by {name}" + (" (out of memory?)" if exitcode == -signal.SIGKILL else "")
        return cls(f"rank {rank}: {reason}", text)


def elastic(run: Run, config: RunConfig) -> None:
    """Start torchrun's elastic agent in this process, which forks the ranks.

    Raises:
        Interrupted: the run was told to stop.
        LaunchFailure: a rank failed.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from batchlab.runner.launch.rendezvous import BACKEND
    from batchlab.runner.launch.worker import rank_main

    agent_log = run.log / "agent"
    agent_log.mkdir(parents=True, exist_ok=True)
    with untouched_accelerators():
        launch = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=config.nproc,
            run_id=run.run_id,
            rdzv_backend=BACKEND,
            start_method="fork",
            monitor_interval=0.05,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=str(agent_log)),
        )
    try:
        elastic_launch(launch, rank_main)(str(run.folder))
    except SignalException as error:
        raise Interrupted from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise LaunchFailure.of(failure.error_file_data, rank, failure.exitcode) from error


@contextmanager
def untouched_accelerators() -> Iterator[None]:
    """Let nobody ask in this block whether there is an accelerator: the answer is no.

    torch's LaunchConfig asks, to choose how ranks are bound to memory, and a process that has asked the CUDA runtime
    can no longer fork ranks that use it.
    """
    import torch

    modules: list[Any] = [torch.cuda, torch.accelerator]
    asked = [module.is_available for module in modules]
    for module in modules:
        module.is_available = bool  # bool() is False
    try:
        yield
    finally:
        for module, own in zip(modules, asked, strict=True):
            module.is_available = own


def torchrun(run: Run, config: RunConfig, *, meet: tuple[str, ...] = MEET_ALONE, nodes: int = 1, node: int = 0) -> None:
    """Start the torchrun command on one node.

    Args:
        run: what is to be trained.
        config: its configuration.
        meet: the command's arguments that say how the nodes meet.
        nodes: how many nodes the run's ranks are split over.
        node: the number of this one.

    Raises:
        Interrupted: the run was told to stop.
        LaunchFailure: a rank failed.
    """
    error_file = run.log / f"error{node or ''}.json"
    output = run.log / f"torchrun{node or ''}.log"
    error_file.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", *meet),
        *("--nproc-per-node", str(config.nproc // nodes), "--monitor-interval", "0.1"),
        *("-m", "batchlab.runner.launch.worker", str(run.folder)),
    ]
    if nodes == 1:
        check_loopback()
    environment = launched(os.environ, nodes=nodes) | {"TORCHELASTIC_ERROR_FILE": str(error_file)}
    with output.open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, parent=os.getpid()),
        )
        stopped = False

        def stop(signum: int, frame: object) -> None:
            nonlocal stopped
            stopped = True
            process.send_signal(signal.SIGTERM)

        before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            code = process.wait()
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
    if stopped:
        raise Interrupted
    if code != 0:
        report = json.loads(error_file.read_bytes()) if error_file.exists() else tail(output)
        raise LaunchFailure.of(report, "?", code)


LAUNCHERS: dict[str, Launch] = {"fork": elastic, "torchrun": torchrun}


def tail(path: Path, characters: int = 4000) -> str:
    """The end of a log."""
    return path.read_text(encoding="utf-8", errors="replace")[-characters:]
