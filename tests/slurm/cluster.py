"""A Slurm of its own for tests: munge, slurmctld and slurmds on the loopback interface, this machine as several nodes.

    python tests/slurm/cluster.py COMMAND...    the command with SLURM_CONF set, e.g. a shell to try batchlab in

Everything lies in one temporary folder and is gone afterwards. It needs root, as slurmd does, and Debian's `slurm-wlm`
and `munge` or the like of them. Jobs are not accounted, as on many a small cluster, but where that is asked for
(`accounting.py`).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import accounting
from accounting import Accounts

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
WAIT = 180.0
"""Seconds after which a part of it is taken not to start."""
CONF = """\
ClusterName=batchlab
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool.%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.%n.log
SlurmctldParameters=enable_configless,preempt_send_user_signal
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,sched_min_interval=100000,batch_sched_delay=0
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=30
SlurmdTimeout=15
InactiveLimit=0
MpiDefault=none
{accounting}
MaxJobCount={max_jobs}
MaxArraySize=1001
{more}
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=first Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


class Unavailable(Exception):
    """There is no Slurm here, or it does not start; the text says why."""


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    """A controller and nodes; `with` starts and stops them.

    Args:
        nodes: how many slurmds.
        cpus: of each, as it is declared; no core is bound.
        max_jobs: how many jobs the controller holds at a time.
        more: further lines of slurm.conf.
        accounted: with slurmdbd and a database; without, jobs of the partition `first` take the place of others.

    Raises:
        Unavailable: there is no Slurm here.
    """

    def __init__(
        self, *, nodes: int = 2, cpus: int = 2, max_jobs: int = 10_000, more: str = "", accounted: bool = False
    ) -> None:
        programs = PROGRAMS + accounting.PROGRAMS * accounted
        if missing := [program for program in programs if shutil.which(program) is None]:
            packages = f"slurm-wlm munge {accounting.PACKAGES * accounted}".strip()
            raise Unavailable(f"there is no {', '.join(missing)} here: apt-get install {packages}")
        if os.geteuid() != 0:
            raise Unavailable("slurmd runs as root only")
        self.root = Path(tempfile.mkdtemp(prefix="batchlab-slurm-"))
        self.root.chmod(0o755)
        self.names = [f"n{i + 1}" for i in range(nodes)]
        ports = free_ports(nodes + 3)
        self.accounts = Accounts(self.root, *ports[-2:]) if accounted else None
        host = socket.gethostname().split(".")[0]
        lines = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=1000"
            for name, port in zip(self.names, ports[1:-2], strict=True)
        ]
        self.conf = self.root / "slurm.conf"
        self.conf.write_text(
            CONF.format(
                host=host,
                address="127.0.0.1",
                ports=ports,
                root=self.root,
                max_jobs=max_jobs,
                accounting=self.accounts.conf if self.accounts else "PreemptType=preempt/partition_prio",
                more=more,
                nodes="\n".join(lines),
            )
        )
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\n")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return os.environ | {"SLURM_CONF": str(self.conf)}

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        for folder in ("state", "munge", *(f"spool.{name}" for name in self.names)):
            (self.root / folder).mkdir()
        (self.root / "munge").chmod(0o700)
        key = self.root / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        munge = (
            *("munged", "--foreground", "--force", f"--socket={self.root}/munge.socket", f"--key-file={key}"),
            *(f"--pid-file={self.root}/munge/pid", f"--log-file={self.root}/munge/log"),
            f"--seed-file={self.root}/munge/seed",
        )
        self._spawn("munged", munge)
        self._await("munged", (self.root / "munge.socket").exists)
        if self.accounts:
            self._start_accounts(self.accounts)
        self._spawn("slurmctld", ("slurmctld", "-D", "-f", str(self.conf)))
        for name in self.names:
            self.start_node(name)
        self._await("slurmctld and its nodes", self._idle)

    def _start_accounts(self, accounts: Accounts) -> None:
        try:
            server = accounts.make_database()
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"the database of accounts cannot be prepared: {error}") from error
        self._spawn("database", server)
        self._await("the database", accounts.ready.exists)
        self._spawn("slurmdbd", accounts.make_daemon())
        self._await("slurmdbd", lambda: "Name" in self.ask("sacctmgr", "-P", "list", "qos", check=False))
        for order in accounting.ACCOUNTS:
            self.ask("sacctmgr", "-i", *order.split())

    def _idle(self) -> bool:
        said = self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False).split()
        return said == ["idle"] * len(self.names)

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        with (self.root / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def _await(self, what: str, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT
        while not there():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = [*self.root.glob("*.out"), *self.root.glob("*.log")]
                last = [f"{p.name}: {p.read_text(errors='replace').strip().splitlines()[-1:]}" for p in logs]
                raise Unavailable(f"{what} did not start ({', '.join(ended) or 'no answer'}): {'; '.join(last)}")
            time.sleep(0.1)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        self._spawn(name, ("slurmd", "-D", "-N", name, "-f", str(self.conf)))

    def kill_node(self, name: str) -> None:
        """A node that fails: its slurmd, and every process of its jobs, at once."""
        slurmd = self.processes.pop(name)
        slurmd.kill()
        slurmd.wait()
        self._kill_jobs(f"SLURMD_NODENAME={name}")

    def _kill_jobs(self, mark: str = "") -> None:
        """Kill the processes of jobs, those first that would tell the controller of it.

        Args:
            mark: a variable of theirs; empty: of all jobs of this cluster.
        """
        wanted = {f"SLURM_CONF={self.conf}".encode(), *([mark.encode()] if mark else [])}
        jobs = []
        for entry in Path("/proc").iterdir():
            try:
                variables = set((entry / "environ").read_bytes().split(b"\0")) if entry.name.isdigit() else set()
            except OSError:
                continue
            if wanted <= variables and any(v.startswith(b"SLURM_JOB_ID=") for v in variables):
                jobs.append(int(entry.name))
        for pid in [*{step for job in jobs for step in _steps(job)}, *jobs]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ask(self, *command: str, check: bool = True, path: str | None = None) -> str:
        """What a command of Slurm's prints; found along `path`, where that is not this process's."""
        environment = self.environment | ({"PATH": path} if path else {})
        found = shutil.which(command[0], path=path) or command[0]
        done = subprocess.run(
            (found, *command[1:]), env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()

    def close(self) -> None:
        """End all of it, and remove the folder."""
        if "slurmctld" in self.processes:
            self.ask("scancel", "--user=root", check=False)
        self._kill_jobs()
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._kill_jobs()
        if "BATCHLAB_KEEP_SLURM" not in os.environ:
            shutil.rmtree(self.root, ignore_errors=True)


def _steps(pid: int) -> list[int]:
    """The slurmstepds above a process."""
    found = []
    while pid > 1:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            break
        if "slurmstepd" in status.splitlines()[0]:
            found.append(pid)
        pid = int(status.partition("\nPPid:")[2].split()[0])
    return found


@dataclass
class Slurm:
    """The cluster, as a test's processes see it: every call of a command is counted."""

    cluster: Cluster
    environment: dict[str, str]
    log: Path
    path: str
    """Where its commands are found that are not counted."""

    def calls(self, command: str) -> int:
        """How often it was called by processes of this test, workers included."""
        return sum(line.split()[:1] == [command] for line in self.log.read_text().splitlines())

    def ask(self, *command: str) -> str:
        """What a command says, not counted."""
        return self.cluster.ask(*command, path=self.path)

    def jobs(self) -> list[str]:
        """Workers in the queue: `12_0 RUNNING n1`."""
        return self.ask("squeue", "-h", "-r", "-n", "batchlab", "-o", "%i %T %N").splitlines()


@contextmanager
def beside() -> Iterator[None]:
    """Within the block commands reach a cluster of its own; where there can be none, the test is skipped."""
    import pytest

    with ExitStack() as stack:
        try:
            started = stack.enter_context(Cluster())
        except Unavailable as error:
            pytest.skip(str(error))
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("SLURM_CONF", str(started.conf))
        yield


def main() -> int:
    """Run a command beside a cluster."""
    try:
        with Cluster() as cluster:
            return subprocess.call(sys.argv[1:] or ["sinfo"], env=cluster.environment)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 77


if __name__ == "__main__":
    sys.exit(main())
