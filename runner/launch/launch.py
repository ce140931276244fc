"""Launch one frozen run on its ranks and settle its state. Ranks get the path of a file and never see Hydra.

Two launchers do the same work: `fork` starts torchrun's elastic agent in this very process, which must have imported
torch but not touched CUDA; `torchrun` is the command. The first takes tenths of a second, the second imports torch anew
in every process.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from batchlab.results.store import exhausted
from batchlab.results.store.owner import beating
from batchlab.results.store.run import FINISHED, Run, RunBusyError, State, now
from batchlab.results.words import brief
from batchlab.runner.launch.environment import LOOPBACK, ONE_MACHINE, launched
from batchlab.runner.launch.killed import oom_kills
from batchlab.runner.launch.process import APART, BUSY, INTERRUPTED, OWNER, Told, die_with_parent
from batchlab.runner.plan.schema import RunConfig

STOPS = (signal.SIGTERM, signal.SIGINT)
"""What a process that waits for an agent is told to stop by."""
STOP_AGENT = signal.SIGUSR2
"""What torchrun is told to stop by; it passes it on to its ranks."""
Launch = Callable[[Run, RunConfig], None]
"""Starts the ranks of a run and waits for them; raises Interrupted or LaunchFailure."""
LaunchAll = Callable[[Sequence[Run]], None]
"""The same of several runs."""


class Interrupted(Exception):
    """The run was told to stop."""


def run_job(run: Run, launch: Launch) -> int:
    """Train a run from its frozen configuration; its state is written whatever happens.

    Returns:
        0 when the run ended by itself (done or diverged), 1 when it failed, 130 when it was interrupted, BUSY when
        another process is training it, one of `exhausted` when the disk is full or the like.
    """
    (code,) = run_jobs([run], lambda held: launch(held[0], RunConfig.load(held[0].config)))
    return code


def run_jobs(runs: Sequence[Run], launch: LaunchAll) -> list[int]:
    """Train runs together; those that are over by now, or that another process is training, are left out.

    Returns:
        Of each run a code as of `run_job`, or APART where it is to be trained alone.
    """
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    codes: dict[str, int] = {}
    otherwise = INTERRUPTED
    try:
        with ExitStack() as holding:
            held = [own for run in runs if (own := _taken(run, holding, codes)) is not None]
            if held:
                with beating({run.folder: run.token for run in held}), _told(run.token for run in held):
                    _train_and_settle(held, launch, codes, stop)
    except Interrupted:
        pass
    except (OSError, ValueError) as error:
        otherwise = exhausted.code_of(error)
        if not otherwise:
            raise
    return [codes.get(run.run_id, otherwise) for run in runs]


def _taken(run: Run, holding: ExitStack, codes: dict[str, int]) -> Run | None:
    """The run as its owner has it, as long as `holding`; None where there is nothing to do, with the code of that."""
    with ExitStack() as own:
        try:
            held = own.enter_context(run.hold())
        except RunBusyError as error:
            print(error, flush=True)
            codes[run.run_id] = BUSY
            return None
        if run.read_state().state in FINISHED:  # by another sweep, since this one looked
            codes[run.run_id] = 0
            return None
        holding.enter_context(own.pop_all())
        return held


@contextmanager
def _told(owners: Iterable[str]) -> Iterator[None]:
    """Let the ranks that are started in this block know as whom they write."""
    os.environ[OWNER] = " ".join(owners)
    try:
        yield
    finally:
        del os.environ[OWNER]


class _Stop:
    """Hears SIGTERM, and interrupts once somebody can say of what is held that it was stopped."""

    def __init__(self) -> None:
        self.told = self.heard = False

    def __call__(self, signum: int, frame: object) -> None:
        self.told = True
        if self.heard:
            raise Interrupted

    def hear(self) -> None:
        """From now on it interrupts, and at once where it was told before."""
        self.heard = True
        if self.told:
            raise Interrupted


def _lost(handler: Any) -> bool:
    """Whether the handler that was in place was told to stop: its exception was dropped, or this were not reached."""
    return isinstance(handler, _Stop) and handler.told


def _train_and_settle(held: Sequence[Run], launch: LaunchAll, codes: dict[str, int], stop: _Stop) -> None:
    """Train what is held; the code of each run is put into `codes`."""
    began: dict[str, Any] = {"pid": os.getpid(), "host": platform.node(), "started": now()}
    began |= {"fused": len(held), "group": held[0].run_id} if len(held) > 1 else {"fused": None, "group": None}
    failure: LaunchFailure | None = None
    stopped = False
    try:
        stop.hear()
        for run in held:
            run.write_state(
                state="running", ended=None, reason=None, apart=None, timeout=None, out_of_memory=None, **began
            )
        launch(held)
    except Interrupted:
        stopped = True
    except LaunchFailure as error:
        failure = error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        failure = LaunchFailure(reason, traceback.format_exc(), exhausted.code_of(error))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows takes no time and must not be cut short
    if failure is not None and len(held) > 1:
        print(failure.traceback, flush=True)
    for run in held:
        try:
            codes[run.run_id] = _settle(run, failure, stopped=stopped, together=len(held) > 1)
        except RunBusyError as error:
            print(error, flush=True)
            codes[run.run_id] = BUSY


def _settle(run: Run, failure: LaunchFailure | None, *, stopped: bool, together: bool) -> int:
    """See that the state says how a run ended whose ranks are gone; its code.

    Args:
        run: as its owner has it.
        failure: of its ranks.
        stopped: they were told to stop.
        together: other runs were trained by the same ranks, and one of them may be to blame.
    """
    run.check_owned()
    if run.read_state().state in FINISHED:
        return 0
    if failure is not None and (code := failure.exhausted or _exhausted(run)):
        with suppress(OSError, ValueError):  # it may be just this that cannot be written, and is not claimed then
            run.write_end(state="interrupted", reason=exhausted.said(exhausted.of_code(code), run.folder), ended=now())
        return code
    if failure is None and not stopped and run.read_state().state is State.RUNNING:
        failure = LaunchFailure("its ranks ended as if all was well, in the middle of training (os._exit?)", "")
    if failure is not None and run.read_state().state is not State.INTERRUPTED:
        if together and not failure.killed:
            why = brief(failure.reason.removeprefix("rank 0: ").removeprefix("ApartError: "))
            with suppress(OSError), (run.log / "launch.log").open("a") as log:
                log.write(f"not trained together with others ({why}): it trains alone from here on\n")
            begun = State.INTERRUPTED if run.checkpoints else State.PENDING  # it is not this one that failed
            run.write_state(state=begun, reason=None, apart=why, ended=now())
            return APART
        (run.log / "traceback.txt").write_text(failure.traceback, encoding="utf-8", errors="replace")
        run.write_state(state="failed", reason=failure.reason, ended=now())
        return 1
    if run.read_state().state is State.RUNNING:  # told to stop before a rank could say so
        run.write_state(state="interrupted", ended=now())
    return INTERRUPTED if run.read_state().state is State.INTERRUPTED else 0


def _exhausted(run: Run) -> int:
    """The code of what has run out where a run cannot be written just now; 0 where it can."""
    try:
        exhausted.ask(run.folder / f".probe.{os.getpid()}")
    except OSError as error:
        return exhausted.code_of(error)
    return 0


class LaunchFailure(Exception):
    """The first failure of a rank.

    Attributes:
        reason: In one line.
        traceback: Of it.
        exhausted: The code of what has run out.
        killed: A signal ended it, for no fault of its own.
    """

    def __init__(self, reason: str, text: str, code: int = 0, *, killed: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.traceback = text
        self.exhausted = code
        self.killed = killed

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
        code = exitcode if exhausted.of_code(exitcode) else 0
        return cls(f"rank {rank}: {reason}", text, code, killed=exitcode < 0)


NO_MEMORY = (
    "killed by the kernel, which had no memory left for it: lower train.micro_batch, executor.jobs_per_device or nproc"
)


def _guilt(failure: Any, killed: bool) -> int:
    """How early a rank's failure is named: ranks that waited for one that failed fail too, perhaps noticed before it.

    Args:
        failure: torch's ProcessFailure.
        killed: the kernel killed processes for memory meanwhile.
    """
    report = failure.error_file_data
    message = report.get("message") if isinstance(report, dict) else None
    said = str(message.get("message", "")) if isinstance(message, dict) else ""
    signs = (
        exhausted.of_code(failure.exitcode) != 0,
        killed and failure.exitcode == -signal.SIGKILL,
        said.startswith("OutOfMemory"),
    )
    return signs.index(True) if any(signs) else len(signs)


def elastic(run: Run, config: RunConfig) -> None:
    """Start torchrun's elastic agent in this process, which forks the ranks.

    Raises:
        Interrupted: the run was told to stop.
        LaunchFailure: a rank failed.
    """
    elastic_together([run], config.nproc)


def elastic_together(runs: Sequence[Run], nproc: int = 1) -> None:
    """`elastic`, of ranks that train several runs at once."""
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from batchlab.runner.launch import rendezvous  # noqa: F401 (registers ONE_MACHINE)
    from batchlab.runner.launch.worker import rank_main

    told = Told()  # once for all: a second SIGTERM, of Slurm or the warm process, breaks into no end that has begun
    if _lost(signal.signal(signal.SIGTERM, told)):
        told.heard = True  # and never false again: it may have heard by now
    agent_log = runs[0].log / "agent"
    agent_log.mkdir(parents=True, exist_ok=True)
    with untouched_accelerators():
        launch = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            run_id=runs[0].run_id,
            rdzv_backend=ONE_MACHINE,
            rdzv_configs={"ranks": nproc, "told": told},
            start_method="fork",
            signals_to_handle="SIGINT,SIGHUP,SIGQUIT",  # SIGTERM is heard below
            monitor_interval=0.05,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=str(agent_log)),
        )

    before = oom_kills()
    try:
        elastic_launch(launch, rank_main)(*(str(run.folder) for run in runs))
    except SignalException as error:
        raise Interrupted from error
    except ChildFailedError as error:
        killed = oom_kills() > before
        rank, failure = min(error.failures.items(), key=lambda item: (_guilt(item[1], killed), item[1].timestamp))
        if killed and failure.exitcode == -signal.SIGKILL:
            raise LaunchFailure(f"rank {rank}: {NO_MEMORY}", "") from error
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


def torchrun(
    run: Run,
    config: RunConfig,
    *,
    meet: tuple[str, ...] = (),
    nodes: int = 1,
    node: int | str = 0,
    stops: tuple[signal.Signals, ...] = STOPS,
) -> None:
    """Start the torchrun command on one node.

    It dies with this process at once, as its ranks die with it, and until then it holds the run's lock: nobody trains
    the run beside what is left of an earlier job. It is told to stop by STOP_AGENT, as a scheduler sends SIGTERM to
    every process of a job, and it would take that and ours for two.

    Args:
        run: what is to be trained.
        config: its configuration.
        meet: the command's arguments that say how the nodes meet; none where there is one.
        nodes: how many nodes the run's ranks are split over.
        node: the number of this one, or a name: what it says is in files of its own, but for the first.
        stops: what this process is told to stop by, and passes on as STOP_AGENT; none where that reaches all by itself.

    Raises:
        Interrupted: the run was told to stop.
        LaunchFailure: a rank failed.
    """
    error_file = run.log / f"error{node or ''}.json"
    output = run.log / f"torchrun{node or ''}.log"
    error_file.unlink(missing_ok=True)
    alone = ("--rdzv-backend", ONE_MACHINE, "--rdzv-conf", f"ranks={config.nproc}", "--local-addr", LOOPBACK)
    command = [
        *(sys.executable, "-m", "batchlab.runner.launch.agent", *(meet or alone)),
        *("--nproc-per-node", str(config.nproc // nodes), "--monitor-interval", "0.1"),
        *("--signals-to-handle", STOP_AGENT.name),
        *("-m", "batchlab.runner.launch.rank", str(run.folder)),
    ]
    environment = launched(os.environ, nodes=nodes) | {"TORCHELASTIC_ERROR_FILE": str(error_file)}
    with output.open("ab") as log:
        begin = os.fstat(log.fileno()).st_size

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                pass_fds=run.descriptors,
                preexec_fn=partial(_before_torchrun, parent=os.getpid()),
            )

        with passing_on(start, stops) as (process, told):
            code = process.wait()
    if told:
        raise Interrupted
    if code != 0:
        said = tail(output, since=begin)
        report = json.loads(error_file.read_bytes()) if error_file.exists() else said
        codes = [int(text) for text in re.findall(r"exitcode +: +(-?\d+)", said)]
        telling = [c for c in codes if exhausted.of_code(c) or (c < 0 < code and report is said)]
        raise LaunchFailure.of(report, "?", telling[-1] if telling else code)


@contextmanager
def passing_on(
    start: Callable[[], subprocess.Popen[bytes]], stops: Iterable[signal.Signals] = STOPS
) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Within the block what tells this process to stop is passed on, the first time, as STOP_AGENT.

    Args:
        start: starts the process whom it concerns; what is told while it does is passed on once it has.
        stops: the signals that do.

    Returns:
        The process, and the signals that came so far.
    """
    told: list[int] = []
    begun: list[subprocess.Popen[bytes]] = []  # and not yet told; who pops it tells it, and nobody else does

    def pass_on() -> None:
        with suppress(IndexError):
            begun.pop().send_signal(STOP_AGENT)

    def stop(signum: int, frame: object) -> None:
        told.append(signum)
        pass_on()

    before = {s: signal.signal(s, stop) for s in stops}
    told += [signum for signum, handler in before.items() if _lost(handler)]
    try:
        process = start()
        begun.append(process)
        if told:
            pass_on()
        yield process, told
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _before_torchrun(parent: int) -> None:
    die_with_parent(signal.SIGKILL, parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


LAUNCHERS: dict[str, Launch] = {"fork": elastic, "torchrun": torchrun}


def tail(path: Path, characters: int = 4000, *, since: int = 0) -> str:
    """The end of a log, of what was written after so many bytes."""
    return path.read_bytes()[since:].decode(errors="replace")[-characters:]
