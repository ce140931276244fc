"""`train.micro_batch=auto`: how many samples a forward pass takes at a time, found out once per model and device.

On a GPU the most that fit, halved from the largest batch until nothing is out of memory; on a CPU, where a pass that is
larger than its caches only takes longer, the one of a few powers of two that takes the least time per sample. Numbers
do not depend on it beyond rounding: a model whose numbers would is refused (`plan.batchnorm.tied`).

What was found is kept in `micro_batch` beside the data, and run.json has what a run was begun with: it goes on with it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from batchlab.datasets import Dataset
from batchlab.datasets.files import data_root
from batchlab.optimizers.batch import largest_batch
from batchlab.results.store.shapes import whole
from batchlab.runner.plan.schedules import make_sizes
from batchlab.runner.plan.schema import AUTO, ConfigError, RunConfig
from batchlab.runner.train.facts import hardware
from batchlab.runner.train.gradient import autocast
from batchlab.runner.train.memory import Memory, out_of_memory
from batchlab.runner.train.rank import Context
from batchlab.runner.train.remembered import remembered
from batchlab.runner.train.session import Session

ON_CPU = (32, 64, 128, 256, 512)
ON_GPU = 1 << 15
"""The most that is tried."""
PASSES = 3
"""Passes of each size, of which the fastest counts."""
AVERAGES = 3
"""Copies of the parameters that are kept free on a GPU for what an optimizer allocates in its first step."""


def fitted(config: RunConfig, context: Context, dataset: Dataset) -> RunConfig:
    """The configuration with a number in the place of `auto`, the same on every rank; another one as it is.

    Args:
        config: of the run, `halved`.
        context: of the rank; rank 0 notes what was chosen in run.json.
        dataset: the configuration's.

    Raises:
        ConfigError: the model draws random numbers for each micro-batch.
    """
    if config.train.micro_batch != AUTO:
        return config
    most = largest_batch(make_sizes(config.batch_schedule), dataset.n, config.train.total_samples(dataset.n))
    upper = 1 << (-(-most // context.world_size) - 1).bit_length()  # the power of two from this rank's share up
    key = _key(config, context, dataset) | {"upper": min(upper, ON_GPU)}
    folder = data_root(config.dataset.get("root")) / "micro_batch"
    found = remembered(
        folder, key, {"micro_batch": whole}, lambda: {"micro_batch": _found(config, context, dataset, upper)}
    )
    part = int(found["micro_batch"])
    if context.world_size > 1:
        least = torch.tensor(part, device=context.device)
        dist.all_reduce(least, dist.ReduceOp.MIN)
        part = int(least)
    if context.rank == 0:
        context.run.write_state(micro_batch=part)
    return _with(config, part)


def most_that_fits(fits: Callable[[int], bool], upper: int) -> int:
    """`upper` or a half of it, of that, ..., the first that fits; 1 where none does.

    >>> most_that_fits(lambda size: size <= 100, 512)
    64
    """
    while upper > 1 and not fits(upper):
        upper //= 2
    return upper


def fastest(seconds: Callable[[int], float], sizes: Sequence[int]) -> int:
    """The size that takes the least time per sample.

    >>> fastest({32: 1.0, 64: 1.2, 128: 4.0}.__getitem__, (32, 64, 128))
    64
    """
    return sizes[0] if len(sizes) == 1 else min(sizes, key=lambda size: seconds(size) / size)


def _found(config: RunConfig, context: Context, dataset: Dataset, upper: int) -> int:
    """Tried with a session of its own, so that nothing of it is left in the run's."""
    session = Session.build(_with(config, upper), context.device, context.rank, context.world_size, dataset)
    memory = Memory(session, context.run)
    session.forward.train()
    if context.device.type == "cuda":
        part = most_that_fits(partial(_fits, session), min(upper, ON_GPU))
    else:
        part = fastest(partial(_seconds, session), [size for size in ON_CPU if size <= upper] or [upper])
    if why := memory.tied():
        raise ConfigError(f"train.micro_batch={AUTO} with model={config.model['name']}: {why}; set a number")
    return part


def _pass(session: Session, size: int) -> float:
    """Seconds of a forward and a backward pass over the first samples."""
    probe, device = session.probe, next(session.model.parameters()).device
    ((x, y),) = probe.stream(0).take(min(size, session.batches.n) * probe.world_size).micro
    began = time.perf_counter()
    with autocast(device, session.config.train.precision):
        output = session.forward(x)
    probe.criterion(output.to(probe.dtype), y).sum().backward()  # type: ignore[no-untyped-call]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    session.optimizer.zero_grad()
    return time.perf_counter() - began


def _seconds(session: Session, size: int) -> float:
    return min(_pass(session, size) for _ in range(PASSES))


def _fits(session: Session, size: int) -> bool:
    """Whether a pass has room beside what the optimizer will want."""
    parameters = [p for p in session.model.parameters() if p.requires_grad]
    try:
        kept = [torch.empty_like(p) for p in parameters for _ in range(AVERAGES)]
        _pass(session, size)
        del kept
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        session.optimizer.zero_grad()
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def _with(config: RunConfig, part: int) -> RunConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, micro_batch=part))


def _key(config: RunConfig, context: Context, dataset: Dataset) -> dict[str, Any]:
    """All that the answer depends on."""
    train = config.train
    return {
        "model": config.model,
        "data": [*dataset.shape, dataset.outputs, dataset.n],
        "loss": train.loss,
        "train": [train.precision, train.channels_last, train.compile],
        "hardware": hardware(context.device, context.world_size),
        "jobs": config.executor.get("jobs_per_device"),
        "torch": torch.__version__,
    }
