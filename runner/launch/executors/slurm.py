"""A Slurm cluster: one array of workers, which take runs from the store until none is left (`launch/slurm/`)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from typing_extensions import override

from batchlab.results.store.queue import AGAIN, Queue
from batchlab.results.store.run import FINISHED, Run, RunBusyError, State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import count
from batchlab.runner.launch.executors.base import Began, Ended, Executor
from batchlab.runner.launch.launch import LAUNCHERS
from batchlab.runner.launch.process import BUSY, INTERRUPTED
from batchlab.runner.launch.slurm import commands
from batchlab.runner.launch.slurm.commands import Job, LimitError, RefusedError, SlurmError, StoppedError
from batchlab.runner.launch.slurm.shape import PASSED, command, comment, gpus_in, options, places, queue_for, way_out
from batchlab.runner.launch.slurm.view import WAITING
from batchlab.runner.plan.checks import ConfigError, check_choice, check_kind, check_least, check_positive
from batchlab.runner.plan.schema import Node, RunConfig

ELSEWHERE = "run it where jobs can be submitted, or with executor=local"
ASK = 10.0
"""Seconds from one call of squeue to the next: clusters forbid more."""
LOOK = 1.0
"""Seconds from one look at the workers' files to the next."""
RETRY = 60.0
"""Seconds until Slurm is asked again that took no job."""
NEVER = (
    "PartitionConfig",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "BadConstraints",
    "InvalidAccount",
    "InvalidQOS",
)
"""Reasons to wait that do not pass by themselves; those that end in `PerJobLimit` are alike."""
ELSE = "left to Slurm: another command asked for it, and workers of that are there (scancel -n batchlab ends them all)"
"""Why a stop leaves a run in the queue."""
ASKED_AGAIN = (State.FAILED, State.CANCELLED)
"""States that no longer hold of a run that is put into the queue."""
STOPPING = 5.0
"""Seconds that Slurm may take to answer a stop: workers see by themselves that nothing is left for them."""
LEAST = 60
"""Seconds of a worker before its runs are told to stop: who starts only to be stopped comes back for ever."""
FRUITLESS = 2
"""So many submissions in a row may end without a run that ended."""


class SlurmExecutor(Executor):
    """Puts runs into the store's queue, sees that there are workers for them, and tells what these say.

    Args:
        workers: jobs at a time, at most, of each shape (`nproc` and GPUs); each trains run after run.
        timeout_min: minutes that a worker may take; it comes back where runs are left then.
        margin_s: seconds before that at which runs write their checkpoints.
        nodes: of a worker; a run's ranks are split over them.
        cpus_per_task: cores that a node lends to a worker.
        mem_gb: memory per node; None leaves it to Slurm.
        partition: as the four after it an option of sbatch; None leaves it to Slurm.
        account: who pays.
        qos: quality of service.
        constraint: features that nodes must have.
        gres: generic resources of a node, such as gpu:a100:4; None: a GPU for each rank, where runs can use any.
        extra: more options of sbatch, word for word.
        threads: CPU threads per rank.
        jobs_per_device: runs of a worker that share a device.
        launcher: "fork" or "torchrun", as on one machine; over several nodes it is always torchrun.

    Raises:
        ConfigError: a value makes no sense.
    """

    queues = True

    def __init__(
        self,
        *,
        workers: int = 16,
        timeout_min: int = 240,
        margin_s: int = 120,
        nodes: int = 1,
        cpus_per_task: int = 8,
        mem_gb: float | None = None,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        gres: str | None = None,
        extra: Sequence[str] = (),
        threads: int = 1,
        jobs_per_device: int = 1,
        launcher: str = "fork",
    ) -> None:
        numbers = {"timeout_min": timeout_min, "margin_s": margin_s, "nodes": nodes, "cpus_per_task": cpus_per_task}
        numbers |= {"threads": threads, "jobs_per_device": jobs_per_device}
        numbers = {key: check_least(f"executor.{key}", value, 1) for key, value in numbers.items()}
        words = dict(zip(PASSED, (partition, account, qos, constraint, gres), strict=True))
        words = {key: check_kind(f"executor.{key}", value, str, optional=True) for key, value in words.items()}
        check_choice("executor.launcher", launcher, tuple(LAUNCHERS))
        if mem_gb is not None:
            mem_gb = check_kind("executor.mem_gb", mem_gb, float)
            check_positive("executor.mem_gb", mem_gb)
        if 60 * numbers["timeout_min"] < numbers["margin_s"] + LEAST:
            raise ConfigError(
                f"executor.margin_s={margin_s} leaves less than a minute of executor.timeout_min={timeout_min}"
            )
        if isinstance(extra, str) or not all(isinstance(option, str) for option in extra):
            raise ConfigError(f"executor.extra={extra}: a list of sbatch's options, such as [--exclusive]")
        self.workers = check_least("executor.workers", workers, 1)
        self.asked_for: dict[str, Any] = (
            numbers | words | {"mem_gb": mem_gb, "extra": list(extra), "launcher": launcher}
        )
        self.gpus = False
        self.found: dict[str, Queue] = {}
        self.waiting: dict[str, tuple[Run, Queue]] = {}
        self.mine: set[str] = set()
        """Runs that this process put into the queue, or found there without any worker: a stop takes no others out."""
        self.due: set[str] = set()
        """Queues that may need more workers."""
        self.since: dict[str, dict[str, int]] = {}
        self.codes: dict[str, int] = {}
        self.begun: dict[str, str] = {}
        """Runs that are trained, and by which worker."""
        self.said: list[Began | str] = []
        self.over: list[Ended] = []
        self.fruitless: dict[str, int] = {}
        self.reasons: dict[str, set[str]] = {}
        """Why workers of a queue wait, as was said last."""
        self.stopping = self.taken = False
        self.complained = ""
        self.again = self.looked = self.asked = -RETRY

    @override
    def check(self, trees: Sequence[Node]) -> None:
        """See that there is something to submit to, whether to ask for GPUs, and that a run's ranks have room.

        Raises:
            ConfigError: they have not, or there is not.
        """
        nodes, cores, threads = (self.asked_for[key] for key in ("nodes", "cpus_per_task", "threads"))
        if missing := [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]:
            raise ConfigError(f"executor=slurm: there is no {' and no '.join(missing)} here; {ELSEWHERE}")
        wanted = {RunConfig.of(tree).train.device for tree in trees}
        gres = self.asked_for["gres"]
        self.gpus = wanted != {"cpu"} and (
            bool(gpus_in(gres)) if gres else "cuda" in wanted or commands.has_gpus(self.asked_for["partition"])
        )
        for nproc in {int(tree["nproc"]) for tree in trees}:
            if nproc % nodes:
                raise ConfigError(f"nproc={nproc} ranks do not divide over executor.nodes={nodes}")
            if not self.gpus and nproc // nodes * threads > cores:
                raise ConfigError(
                    f"nproc={nproc} needs {nproc // nodes * threads} cores of a node: raise "
                    f"executor.cpus_per_task={cores}"
                )
            if self.gpus and gres and nproc // nodes > gpus_in(gres):
                raise ConfigError(f"nproc={nproc} needs {nproc // nodes} GPUs of a node: executor.gres={gres} has less")

    @override
    def room(self, nproc: int) -> bool:
        return True

    @override
    def start(self, run: Run, nproc: int) -> None:
        """Put the run into the queue of its shape; a failed one is asked for again by that.

        One that another driver's workers have ended since this sweep was planned needs none.
        """
        state = run.read_state().state
        if state in FINISHED:
            self.over.append(Ended(run, 0))
            return
        per_node = nproc // self.asked_for["nodes"]
        gpus = (gpus_in(self.asked_for["gres"]) if self.asked_for["gres"] else per_node) if self.gpus else 0
        made = queue_for(RunStore(run.folder.parent), self.asked_for | {"nproc": nproc, "gpus": gpus})
        queue = self.found.setdefault(made.shape, made)
        if queue.shape not in self.since:
            self.since[queue.shape] = {}
            queue.heard(self.since[queue.shape])  # what was told before concerns others
        if state in ASKED_AGAIN:
            with suppress(RunBusyError), run.hold():
                run.write_state(state=State.INTERRUPTED if run.checkpoints else State.PENDING, reason=None)
        self.waiting[run.run_id] = run, queue
        if queue.add(run.run_id):
            self.mine.add(run.run_id)
        self.due.add(queue.shape)

    @override
    def wait(self, seconds: float) -> list[Ended]:
        """Runs that have left the queue.

        Raises:
            ConfigError: Slurm takes no worker at all, and says that it never will.
        """
        time.sleep(seconds)
        now = time.monotonic()
        if self.due and now >= self.again:
            self._provide(now)
        if now >= self.looked + LOOK:
            self.looked = now
            self._look()
        if self.waiting and not self.stopping and now >= self.asked + ASK:
            self._ask(now)
        over, self.over = self.over, []
        return over

    @override
    def news(self) -> list[Began | str]:
        said, self.said = self.said, []
        return said

    @override
    def detach(self) -> str:
        """Leave the runs to the workers, once Slurm has these."""
        if self.due and time.monotonic() >= self.again:
            self._provide(time.monotonic())
        return "" if self.due else f"{count(len(self.waiting), 'run')} left to Slurm: nothing here need wait for them"

    @override
    def stop(self, run: Run | None = None) -> None:
        """Take what this process asked for out of the queue: workers let such runs write their checkpoints.

        Where nothing else is left for them, workers are cancelled, all in one call.
        """
        if run is not None:
            if run.run_id in self.waiting:
                self.waiting[run.run_id][1].remove(run.run_id)
            return
        self.stopping = True
        self.due.clear()
        for run_id, (one, queue) in list(self.waiting.items()):
            if run_id in self.mine:
                queue.remove(run_id)
            elif queue.wanted(run_id):
                self._end(Ended(one, BUSY, ELSE))
        self._cancel(kill=False)

    @override
    def close(self, *, kill: bool = False) -> None:
        """Nothing is left running here: workers belong to the cluster. With `kill` they end without checkpoints."""
        if kill:
            self._cancel(kill=True)

    def _cancel(self, *, kill: bool) -> None:
        empty = [queue for queue in self.found.values() if not queue.entries()]
        try:
            jobs = commands.jobs(STOPPING) if empty else []
            names = {comment(queue) for queue in empty}
            mine = [job.id for job in jobs if job.comment in names and not job.over]
            commands.cancel(mine, kill=kill, patience=STOPPING)
        except SlurmError as error:
            self._complain(f"Slurm does not answer ({error}): workers end by themselves")

    def _jobs(self) -> list[Job]:
        self.asked = time.monotonic()
        return commands.jobs()

    def _provide(self, now: float) -> None:
        """See that there are workers: one call of squeue, and one of sbatch where some are missing."""
        try:
            for shape in sorted(self.due):
                self._submit(self.found[shape])
                self.due.discard(shape)
            self.complained = ""
        except LimitError as error:
            self._complain(f"Slurm takes no more jobs now, which is tried again every {RETRY:g} s: {error}")
            self.again = now + RETRY
        except StoppedError:  # `stop` comes next
            return
        except SlurmError as error:
            if not self.taken:
                for run_id in self.mine:
                    self.waiting[run_id][1].remove(run_id)
                way = way_out(self.asked_for, str(error)) or ELSEWHERE
                raise ConfigError(f"executor=slurm: the cluster did not take the runs ({error}); {way}") from error
            self._complain(f"Slurm does not answer, which is tried again every {RETRY:g} s: {error}")
            self.again = now + RETRY

    def _submit(self, queue: Queue) -> None:
        shape = queue.described()
        with queue.lock():
            jobs = self._jobs()
            live = self._live(queue, jobs)
            width = min(self.workers, -(-len(queue.entries()) // places(shape))) - len(live)
            if width <= 0:
                self.taken = True
                return
            if not live:
                queue.tidy()
                self.mine |= {run_id for run_id, (_, own) in self.waiting.items() if own == queue}
            wanted, self.taken = width, self.taken or bool(live)
            while True:
                try:
                    job = commands.submit(options(shape, queue, width), command(queue))
                    break
                except LimitError:
                    width //= 2
                    if not width and not live:
                        raise
                    if not width:
                        return
                except RefusedError as error:
                    if not self.taken:
                        raise
                    self._refused(queue, live, error)
                    return
        self.taken = True
        self.fruitless[queue.shape] = self.fruitless.get(queue.shape, 0) + 1
        fewer = f" of {wanted}: Slurm takes no more now" if width < wanted else ""
        self.said.append(f"Slurm job {job}: {count(width, 'worker')}{fewer}")

    def _refused(self, queue: Queue, live: Sequence[Job], error: RefusedError) -> None:
        """What was taken once is not taken any more: workers that are there go on, and without any the runs end."""
        if live:
            self._complain(f"Slurm takes no further workers ({error}): {count(len(live), 'worker')} go on")
        else:
            why = f"no worker got to it: Slurm takes none any more ({error})"
            self._give_up(queue, self._left(queue), None, why)

    def _left(self, queue: Queue) -> list[Run]:
        """Runs that this process waits for and that are not over."""
        return [run for run, own in self.waiting.values() if own == queue and queue.wanted(run.run_id)]

    def _live(self, queue: Queue, jobs: Sequence[Job]) -> list[Job]:
        """The workers of a queue that take runs, or will."""
        gone, name = queue.gone(), comment(queue)
        return [job for job in jobs if job.comment == name and not job.over and job.id not in gone]

    def _look(self) -> None:
        """Read what workers told, and see which runs have left the queue."""
        for shape, queue in self.found.items():
            for worker, event in queue.heard(self.since[shape]):
                run_id, what = event.get("run"), event.get("event")
                if what == "ended":
                    self.codes[str(run_id)] = int(event.get("code", 0))
                    self.fruitless[shape] = 0
                elif what == "began" and run_id in self.waiting and run_id not in self.begun:
                    self.begun[run_id] = worker  # two workers may try at once: the run's lock decides
                    self.said.append(Began(self.waiting[run_id][0]))
                elif what == "here":  # a job that came back without a word of what it had
                    for lost in [one for one, by in self.begun.items() if by == worker]:
                        del self.begun[lost]
                        self.said.append(f"{lost} on {worker}: lost with its node or job, and taken up again")
                elif what == "back" and run_id in self.waiting:
                    self.begun.pop(run_id, None)
                    self.said.append(f"{run_id} on {worker}: {event.get('why')}: {AGAIN}")
            entries = queue.entries()
            for run_id, (run, own) in list(self.waiting.items()):
                if own == queue and run_id not in entries and not run.held():
                    self._end(Ended(run, self.codes.pop(run_id, INTERRUPTED if self.stopping else 0)))

    def _end(self, end: Ended) -> None:
        del self.waiting[end.run.run_id]
        self.begun.pop(end.run.run_id, None)
        self.mine.discard(end.run.run_id)
        self.over.append(end)

    def _ask(self, now: float) -> None:
        """See whether the workers are there; new ones take the place of those that were lost."""
        try:
            jobs = self._jobs()
        except StoppedError:
            return
        except SlurmError as error:
            self._complain(f"Slurm does not answer, which is asked again: {error}")
            return
        self.complained = ""
        for shape, queue in self.found.items():
            self._say_why_they_wait(queue, jobs)
            left = self._left(queue)
            if not left or shape in self.due or self._live(queue, jobs):
                continue
            ended = [job for job in jobs if job.comment == comment(queue) and job.over]
            last = max((_number(job) for job in ended), default=0)
            states = {job.state for job in ended if _number(job) == last}
            if states == {"CANCELLED"}:
                self._give_up(queue, left, State.CANCELLED, f"its Slurm job {last} was cancelled")
            elif self.fruitless.get(shape, 0) >= FRUITLESS:
                how = " and ".join(sorted(states)) or "without a word"
                why = f"no worker got to it: Slurm job {last or '?'} ended as {how}; see {queue.log}"
                self._give_up(queue, left, None, why)
            else:
                self.said.append(
                    f"{count(len(left), 'run')} left and no worker of theirs in Slurm: new ones are asked for"
                )
                self.due.add(shape)

    def _say_why_they_wait(self, queue: Queue, jobs: Sequence[Job]) -> None:
        """Say for what workers wait, whenever that has changed."""
        wait = [job for job in self._live(queue, jobs) if job.state in WAITING and job.reason not in ("None", "")]
        reasons = {job.reason for job in wait}
        if reasons and reasons != self.reasons.get(queue.shape):
            never = any(reason in NEVER or reason.endswith("PerJobLimit") for reason in reasons)
            hint = (
                "; they cannot start as they are asked for: Ctrl-C, and see partition, time and size" if never else ""
            )
            self.said.append(f"{count(len(wait), 'worker')} waiting in Slurm: {', '.join(sorted(reasons))}{hint}")
        self.reasons[queue.shape] = reasons

    def _give_up(self, queue: Queue, left: Sequence[Run], state: State | None, why: str) -> None:
        for run in left:
            if run.held():
                continue
            if state is not None:
                run.write_state(state=state, reason=why)
            queue.remove(run.run_id)
            self._end(Ended(run, INTERRUPTED, why))

    def _complain(self, text: str) -> None:
        """Say it, once."""
        if text.partition(":")[0] != self.complained:
            self.complained = text.partition(":")[0]
            self.said.append(text)


def _number(job: Job) -> int:
    return int(job.id.partition("_")[0])
