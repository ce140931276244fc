"""One rank: read the frozen configuration, meet the other ranks, train."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from batchlab.results.store import exhausted
from batchlab.results.store.run import Run
from batchlab.runner import exits
from batchlab.runner.launch.allocator import keep_freed
from batchlab.runner.launch.process import INTERRUPTED, OWNER, Told, die_with_parent
from batchlab.runner.plan.build import is_solver
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.train.loop import train
from batchlab.runner.train.outcome import Outcome
from batchlab.runner.train.rank import Context

STOPS = (signal.SIGTERM, signal.SIGUSR2)
"""What a rank is told to stop by: its agent's, its scheduler's."""


@record
def rank_main(*paths: str) -> str:
    """Train the run in the folder `paths[0]` as the rank that the environment says, or several together, one in each.

    Returns how the first ended.


    Where the disk is full, or the like, it says so by its exit code: a file would be just what cannot be written.
    """
    try:
        return _rank(paths)
    except Exception as error:
        if code := exhausted.code_of(error):
            with suppress(OSError):
                print(exhausted.line(error), flush=True)
            sys.exit(code)
        raise


def _rank(paths: Sequence[str]) -> str:
    die_with_parent(signal.SIGKILL)
    owners = os.environ.get(OWNER, "").split() or [""] * len(paths)
    runs = [Run(Path(path), owner) for path, owner in zip(paths, owners, strict=True)]
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    _redirect(runs[0].log / f"rank{rank}.log")
    configs = [RunConfig.load(run.config) for run in runs]
    config, device = configs[0], _device(configs[0])
    if device.type == "cpu":
        keep_freed()
    contexts = [Context(run, rank, world, device) for run in runs]
    for signum in STOPS:
        before = signal.signal(signum, lambda *_: _stop(contexts))
        if isinstance(before, Told) and before.heard:  # a forked rank has its agent's until here
            _stop(contexts)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; a terminal sends Ctrl-C to everyone
    torch.set_num_threads(int(config.executor.get("threads", 1)))
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        outcomes = _work(configs, contexts)
    except SystemExit as error:  # of a user's code: as an end of this process it would say nothing
        raise ConfigError(exits.said(error)) from error
    finally:
        if world > 1:
            dist.destroy_process_group()
    for signum in STOPS:
        signal.signal(signum, signal.SIG_DFL)  # from here on all is written: there is nothing to finish
    if any(context.stopping for context in contexts) or not all(outcome.over for outcome in outcomes):
        sys.exit(INTERRUPTED)  # to return would be to wait for an agent that waits for this process to end
    return outcomes[0].state


def _work(configs: Sequence[RunConfig], contexts: Sequence[Context]) -> Sequence[Outcome]:
    if is_solver(configs[0].optimizer):
        from batchlab.runner.train.solve import solve_all  # compiled loops are loaded only where they are used

        return solve_all(configs, contexts)
    if len(configs) > 1:
        from batchlab.runner.train.together import train_together

        return train_together(configs, contexts)
    return [train(configs[0], contexts[0])]


def _stop(contexts: Sequence[Context]) -> None:
    for context in contexts:
        context.stop()


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
