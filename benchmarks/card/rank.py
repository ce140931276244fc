"""A rank of part (e), as a process: python -m card.rank OUT DEVICE BACKEND STEPS OVERRIDES.

It does what a rank of the runner does (`batchlab.runner.train.loop`), except that two may share a card, which the
runner does not allow: a rank has a device of its own there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from batchlab.results.store.run import Run
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.checkpoint import Saver
from batchlab.runner.train.loop import _loop as train_loop
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.watchers import Watchers
from batchlab.runner.train.writer import Writer


def main(out: str, place: str, backend: str, steps: str, overrides: str) -> None:
    """Train; rank 0 writes the parameters and the seconds of a step."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = torch.device(place)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # so that what is left between one and two ranks is the order of sums
    if world > 1:
        dist.init_process_group(backend)
    (planned,) = compose(json.loads(overrides))
    config = RunConfig.of(planned.tree)
    options = dataclasses.replace(config.train, samples=int(steps) * int(config.batch_schedule["size"]))
    config = dataclasses.replace(config, train=options)
    session, meters = Session.build(config, device, rank, world), Meters.on(device)
    context = Context(Run(Path(out).with_suffix(f".{rank}")).create(), rank, world, device)
    train_loop(
        session,
        meters,
        Writer(session, meters, None, context, Watchers({}, None)),
        Saver(session, meters, None, context),
        context,
    )
    if rank == 0:
        parameters = [p.detach().cpu() for p in session.model.parameters()]
        torch.save({"parameters": parameters, "seconds": meters.train_seconds / session.clock.steps}, out)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
