"""One rank: read the frozen configuration, meet the other ranks, train.

torchrun --standalone --nproc-per-node 2 -m batchlab.runner.launch.worker runs/<run_id>
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from batchlab.results.store.run import Run
from batchlab.runner.launch.process import INTERRUPTED, die_with_parent
from batchlab.runner.plan.build import is_solver
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.train.loop import train
from batchlab.runner.train.rank import Context


@record
def rank_main(path: str) -> str:
    """Train the run in the folder `path` as the rank that the environment says; returns its outcome."""
    die_with_parent(signal.SIGKILL)
    run = Run(Path(path))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    _redirect(run.log / f"rank{rank}.log")
    config = RunConfig.load(run.config)
    context = Context(run, rank, world, _device(config))
    signal.signal(signal.SIGTERM, lambda *_: context.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; a terminal sends Ctrl-C to everyone
    torch.set_num_threads(int(config.executor.get("threads", 1)))
    if world > 1:
        dist.init_process_group("nccl" if context.device.type == "cuda" else "gloo")
    work = train
    if is_solver(config.optimizer):
        from batchlab.runner.train.solve import solve as work  # compiled loops are loaded only where they are used
    try:
        outcome = work(config, context)
    finally:
        if world > 1:
            dist.destroy_process_group()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from here on all is written: there is nothing to finish
    if context.stopping or not outcome.over:
        sys.exit(INTERRUPTED)  # to return would be to wait for an agent that waits for this process to end
    return outcome.state


def _device(config: RunConfig) -> torch.device:
    wanted = config.train.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("train.device=cuda: no GPU can be used here; set train.device=cpu or auto")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def _redirect(log: Path) -> None:
    """Everything that this rank prints goes into a log of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)


if __name__ == "__main__":
    rank_main(sys.argv[1])
