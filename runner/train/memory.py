"""Out of memory: said with the batch that caused it, and whether half the micro-batch would give the same numbers.

A step over micro-batches is the step over the batch up to rounding, as each sample's loss weighs 1/b. So a run may go
on at half of them; its frozen configuration stays, and run.json says what it was trained with (`micro_batch`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from batchlab.results.store.run import Run
from batchlab.runner.plan.batchnorm import part_of, tied
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.session import Session

SAID = re.compile(r"DefaultCPUAllocator|alloc_cpu|not enough memory|out of memory|ALLOC_FAILED", re.IGNORECASE)
"""How RuntimeErrors of torch, on the CPU and in its libraries, say what OutOfMemoryError says of the GPU."""


class OutOfMemory(RuntimeError):
    """A run is too large for its device; its message says what was to be done and what would help."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and not isinstance(error, OutOfMemory) and bool(SAID.search(str(error)))


def halved(config: RunConfig, info: Mapping[str, Any]) -> RunConfig:
    """The configuration with the micro-batch that a run goes on with after it was out of memory.

    Args:
        config: As it is frozen.
        info: What run.json says.
    """
    part = info.get("micro_batch")
    if part is None:
        return config
    return dataclasses.replace(config, train=dataclasses.replace(config.train, micro_batch=int(part)))


class Memory:
    """Watches a session's steps.

    Args:
        session: Whose steps they are.
        run: Where it is written down.
    """

    def __init__(self, session: Session, run: Run) -> None:
        self.session = session
        self.run = run
        self.drawn = self._drawn()

    @contextmanager
    def step(self, size: int) -> Iterator[None]:
        """Within the block a step over `size` samples is taken.

        Raises:
            OutOfMemory: For what says so, with the batch and the way out; run.json has the numbers for a sweep.
        """
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            part = part_of(self.session.config, size)
            why = "" if part == 1 else self.tied()
            half = 0 if part == 1 or why else part // 2
            facts = {"batch": size, "part": part} | ({"half": half} if half else {"why": why} if why else {})
            self.run.write_state(out_of_memory=facts)
            if part == 1:
                way = "a smaller model, or a device with more memory"
            elif why:
                way = f"train.micro_batch={part // 2} needs half of it, and gives other numbers ({why})"
            else:
                way = f"set train.micro_batch={half}, or --retry-oom"
            at_once = "all at once" if part == size else f"{part:,} at a time"
            raise OutOfMemory(f"out of memory in a step over a batch of {size:,}, {at_once}: {way}") from error

    def tied(self) -> str:
        """Why smaller micro-batches would give other numbers than by rounding; empty where they would not."""
        session = self.session
        grouped = session.moments is not None and session.moments.estimator != "per_sample"
        if why := tied(session.model, grouped=grouped):
            return why
        drawn = not torch.equal(self.drawn, self._drawn())
        return "random numbers are drawn for each micro-batch" if drawn else ""

    def _drawn(self) -> Tensor:
        """The state of torch's generators: another one once a forward pass has drawn from them."""
        states = [torch.get_rng_state()]
        device = next(self.session.model.parameters()).device
        return torch.cat([*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states)


@contextmanager
def elsewhere(what: str) -> Iterator[None]:
    """Within the block a run does something whose memory no micro-batch changes.

    Args:
        what: It does, in words.

    Raises:
        OutOfMemory: For what says so.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemory(f"out of memory {what}: a smaller model, or a device with more memory") from error
