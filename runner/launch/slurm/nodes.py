"""One run over the nodes of a job: `main` on the first node holds the run's lock, `agent` is torchrun on each of them.

python -m batchlab.runner.launch.slurm.nodes RUN NODES CORES
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from batchlab.results.store.run import Run
from batchlab.runner.launch.launch import STOP_AGENT, Interrupted, LaunchFailure, passing_on, run_job, tail, torchrun
from batchlab.runner.launch.process import INTERRUPTED, die_with_parent
from batchlab.runner.plan.schema import RunConfig

SOON = 2.0
"""Seconds within which the signal that ended srun reaches this process too: Slurm sends them in any order."""


def over(run: Run, config: RunConfig, *, nodes: int, cores: int) -> None:
    """Start an agent on each node by srun, and wait for them. They meet at this node, the first of the job.

    Args:
        run: what is to be trained.
        config: its configuration.
        nodes: of the job, all of which it gets.
        cores: of each.

    Raises:
        Interrupted: the run was told to stop.
        LaunchFailure: a rank failed.
    """
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    meet = f"{socket.gethostname()}:{port}"
    command = [
        *("srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cores}"),
        *("--kill-on-bad-exit=1", "--unbuffered", "--quiet"),
        *(sys.executable, "-m", "batchlab.runner.launch.slurm.nodes", "agent", str(run.folder), str(nodes), meet),
    ]
    for node in range(nodes):
        (run.log / f"error{node or ''}.json").unlink(missing_ok=True)
    with (run.log / "srun.log").open("ab") as log:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=partial(die_with_parent, parent=os.getpid()),
            )

        with passing_on(start) as (step, told):  # srun passes it on to every process of every node
            code = step.wait()
            until = time.monotonic() + SOON
            while code and not told and time.monotonic() < until:
                time.sleep(0.05)
    if told:
        raise Interrupted
    if code:
        raise LaunchFailure.of(_said(run, nodes), "?", code)


def _said(run: Run, nodes: int) -> object:
    """What the first agent that failed left behind."""
    for node in range(nodes):
        error = run.log / f"error{node or ''}.json"
        if error.exists():
            return json.loads(error.read_bytes())
    return tail(run.log / "srun.log")


def agent(run: Run, nodes: int, meet: str) -> int:
    """torchrun on one node; srun's signals reach it and its ranks as they reach this process."""
    told: list[int] = []
    for signum in (signal.SIGTERM, STOP_AGENT):
        signal.signal(signum, lambda number, _: told.append(number))
    node = int(os.environ["SLURM_NODEID"])
    host, _, port = meet.rpartition(":")
    how = (
        *("--nnodes", str(nodes), "--node-rank", str(node)),
        *("--master-addr", host, "--master-port", port),
    )
    try:
        torchrun(run, RunConfig.load(run.config), meet=how, nodes=nodes, node=node, stops=())
    except LaunchFailure as failure:
        print(f"node {node}: {failure.reason}", flush=True)
        return INTERRUPTED if told else 1
    return 0


def main() -> None:
    """Train a run over nodes, or be one of them."""
    if sys.argv[1] == "agent":
        _, folder, nodes, meet = sys.argv[1:]
        sys.exit(agent(Run(Path(folder)), int(nodes), meet))
    folder, nodes, cores = sys.argv[1:]
    die_with_parent()
    sys.exit(run_job(Run(Path(folder)), partial(over, nodes=int(nodes), cores=int(cores))))


if __name__ == "__main__":
    main()
