"""Where the time of a step goes: `batchlab train --profile`.

What is called is wrapped for the time of the loop, so that a run that nobody profiles does not even ask. Each moment
belongs to one phase, the innermost that has begun. Nothing here changes a number.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, overload

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile, record_function

from batchlab.datasets import Batch
from batchlab.datasets.batches import Pair
from batchlab.results.store.run import Run
from batchlab.runner.train.checkpoint import Saver
from batchlab.runner.train.rank import Context
from batchlab.runner.train.session import Session
from batchlab.runner.train.writer import Writer

ASKED = "profile"
"""The key of run.json that asks for it; it is gone once a process of the run has read it."""
FIRST = 2
"""Steps that are left out, where there are others: torch sets itself up in them."""
TRACED = 5
"""Steps after them that are traced, and left out too: a trace slows them down."""
TRACE = "trace.json"
FOUND = "profile.json"
"""Files in the run's log folder."""
APART = ("evaluation", "checkpoint")
"""Phases that are no part of a step; what is called in them is."""
Sums = dict[str, float]


class Profile:
    """Sums up phases of rank 0's steps.

    Args:
        context: of the rank. Its device is waited for at each boundary, or a phase would be the time to ask for it.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.steps = 0
        self.sums: dict[str, Sums] = {"first": {}, "traced": {}, "rest": {}}
        self.counts: dict[str, int] = {}
        self._stack = ["loop"]
        self._mark = 0.0
        self._tracer: profile | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """The block is of this phase, but for phases within it."""
        if self._stack[-1] in APART:
            yield
            return
        self._charge()
        self.counts[name] = self.counts.get(name, 0) + 1
        self._stack.append(name)
        try:
            with record_function(name):
                yield
        finally:
            self._charge()
            self._stack.pop()

    def become(self, name: str) -> None:
        """The innermost phase is another one from here on."""
        self._charge()
        self._stack[-1] = name

    def timed(self, name: str, called: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, as a phase."""

        def within(*args: Any, **options: Any) -> Any:
            with self.phase(name):
                return called(*args, **options)

        return within

    @contextmanager
    def watching(self, session: Session, writer: Writer, saver: Saver) -> Iterator[None]:
        """Within the block, which is the loop, phases are told apart; then they are written into the log folder."""
        gradient: Any = session.gradient
        with ExitStack() as patched:

            def replace(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
                before, own = getattr(owner, name), name in vars(owner)
                setattr(owner, name, made(before))
                patched.callback(*((setattr, owner, name, before) if own else (delattr, owner, name)))

            def time_in(owner: Any, name: str, phase: str) -> None:
                replace(owner, name, lambda before: self.timed(phase, before))

            time_in(torch.autograd, "backward", "backward")
            time_in(torch.autograd, "grad", "backward")
            time_in(dist, "all_reduce", "reduce")
            replace(session.batches, "take", self._batches)
            if session.moments is None:
                time_in(gradient, "model", "forward")
                time_in(gradient, "criterion", "forward")
            else:  # a forward pass until there are losses, and statistics after them
                time_in(session.moments, "backward", "forward")
                replace(gradient, "criterion", self._losses)
                time_in(session.moments, "reduce", "moments")
                time_in(session.moments, "reset", "moments")
                time_in(session.batch_schedule, "update", "moments")
            time_in(session.optimizer, "step", "optimizer")
            time_in(writer, "step", "logging")
            time_in(writer, "evaluate", "evaluation")
            time_in(saver, "save", "checkpoint")
            replace(session, "advance", self._stepped)
            self._mark = self._now()
            yield
            self._charge()
            self._stop()
        self._write(self.context.run)

    def _batches(self, take: Callable[..., Batch]) -> Callable[..., Batch]:
        def taken(*args: Any) -> Batch:
            with self.phase("data"):
                batch = take(*args)
                return dataclasses.replace(batch, micro=_Timed(batch.micro, self))

        return taken

    def _losses(self, criterion: Callable[..., Any]) -> Callable[..., Any]:
        def losses(*args: Any) -> Any:
            found = criterion(*args)
            if self._stack[-1] == "forward":
                self.become("moments")
            return found

        return losses

    def _stepped(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        def advanced(samples: int) -> None:
            advance(samples)
            self._charge()
            self.steps += 1
            if self.steps == FIRST:
                self._start()
            elif self.steps == FIRST + TRACED:
                self._stop()
            self._mark = self._now()

        return advanced

    @property
    def _bucket(self) -> str:
        return "first" if self.steps < FIRST else "traced" if self.steps < FIRST + TRACED else "rest"

    def _charge(self) -> None:
        """What has passed since the mark before is of the innermost phase."""
        now, phase = self._now(), self._stack[-1]
        sums = self.sums[self._bucket]
        sums[phase] = sums.get(phase, 0.0) + now - self._mark
        self._mark = now

    def _now(self) -> float:
        if self.context.device.type == "cuda":
            torch.cuda.synchronize(self.context.device)
        return time.perf_counter()

    def _start(self) -> None:
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.context.device.type == "cuda" else [])]
        self._tracer = profile(activities=kinds)
        self._tracer.start()

    def _stop(self) -> None:
        if self._tracer is not None:
            self._tracer.stop()
            self._tracer.export_chrome_trace(str(self.context.run.log / TRACE))
            self._tracer = None

    def _write(self, run: Run) -> None:
        steps = self.steps - FIRST - TRACED
        sums = self.sums["rest"]
        if steps < 1:  # so few that those at the beginning have to do
            steps, every = self.steps, list(self.sums.values())
            sums = {phase: sum(one.get(phase, 0.0) for one in every) for phase in {p for one in every for p in one}}
        apart = {phase: sum(one.get(phase, 0.0) for one in self.sums.values()) for phase in APART}
        found = {
            "steps": steps,
            "seconds": {phase: seconds for phase, seconds in sums.items() if phase not in APART},
            "apart": {phase: [self.counts[phase], apart[phase]] for phase in APART if phase in self.counts},
            "device": str(self.context.device),
            "ranks": self.context.world_size,
            "trace": TRACE if self.steps >= FIRST else None,
        }
        (run.log / FOUND).write_text(json.dumps(found, indent=1))


class _Timed(Sequence[Pair]):
    """Micro-batches, whose making is of the phase `data`."""

    def __init__(self, micro: Sequence[Pair], watch: Profile) -> None:
        self._micro, self._watch = micro, watch

    def __len__(self) -> int:
        return len(self._micro)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        with self._watch.phase("data"):
            return self._micro[index]
