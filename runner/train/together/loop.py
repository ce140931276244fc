"""Train several runs of one key (`plan.fusable`) at once: the loop of `train.loop`, over replicas."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from batchlab.datasets import Dataset
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import RunLostError, State
from batchlab.results.words import listing
from batchlab.runner.plan.batchnorm import part_of
from batchlab.runner.plan.optimizer import methods_of
from batchlab.runner.plan.reading import load_checked
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.checkpoint import Saver
from batchlab.runner.train.facts import facts
from batchlab.runner.train.flops import flops_per_sample
from batchlab.runner.train.loop import CONSENT_EVERY, LOSSES, quantities
from batchlab.runner.train.modes import to_train
from batchlab.runner.train.outcome import Outcome, settle
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.together.group import Group
from batchlab.runner.train.together.look import Look
from batchlab.runner.train.together.pays import check_pays
from batchlab.runner.train.together.same import check_same
from batchlab.runner.train.together.stack import ApartError
from batchlab.runner.train.watchers import Watchers
from batchlab.runner.train.writer import Writer

FROZEN = 0.25
"""Share of a group's replicas that are over from which on it goes on without them."""
WRITERS = 8
"""Replicas that are settled at a time."""
TELL_SECONDS = 1.0
"""Least time from one write of the progress to the next."""


class Replica:
    """One run of a group: its session, and who writes its rows and checkpoints."""

    def __init__(self, config: RunConfig, context: Context, dataset: Dataset) -> None:
        self.context = context
        self.session = Session.build(config, context.device, 0, 1, dataset)
        self.meters = Meters.on(context.device)
        self.draws = torch.Generator()
        self.draws.set_state(torch.get_rng_state())
        self.outcome: Outcome | None = None
        self.lost = False
        """Another process has taken the run meanwhile."""

    def restore(self) -> None:
        """Go on from the checkpoint, or begin anew.

        Raises:
            ConfigError: the checkpoint is damaged.
        """
        run, session = self.context.run, self.session
        self.recorder = Recorder(run)
        said = {"quantities": quantities(session), "methods": methods_of(session.optimizer)}
        if declared := {key: value for key, value in said.items() if value}:
            run.write_state(durable=False, **declared)
        self.saver = Saver(session, self.meters, self.recorder, self.context)
        with self.drawing():
            self.saver.restore()
            self.draws.set_state(torch.get_rng_state())
        self.writer = Writer(session, self.meters, self.recorder, self.context, Watchers({}, run))
        session.forward.train()
        to_train(session.optimizer)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Within the block torch's random state is that of this run."""
        torch.set_rng_state(self.draws.get_state())
        yield

    @property
    def live(self) -> bool:
        """Whether it is not over."""
        return self.outcome is None and not self.lost


def train_together(configs: Sequence[RunConfig], contexts: Sequence[Context]) -> list[Outcome]:
    """Train runs until the budget of each is spent, or they are told to stop; each has its folder, as if alone.

    Runs that stand at different places of their budgets, as after a kill between two checkpoints, go on one set after
    the other.

    Args:
        configs: of runs of one key.
        contexts: aligned with them: one rank each, on one device.

    Returns:
        How each ended.

    Raises:
        ApartError: they are to be trained alone.
    """
    if any(context.run.read_state().info.get("micro_batch") is not None for context in contexts):
        raise ApartError("one of them goes on at a smaller micro-batch")
    if contexts[0].device.type == "cpu" and configs[0].train.precision == "bfloat16":
        raise ApartError("torch.vmap leaves convolutions in float32 where bfloat16 is asked for on a CPU")
    began = time.perf_counter()
    dataset = load_checked(configs[0].dataset, contexts[0].run.read_state().info)
    read = time.perf_counter() - began
    replicas = [Replica(config, context, dataset) for config, context in zip(configs, contexts, strict=True)]
    shared = check_pays([replica.session for replica in replicas])
    check_same([replica.session for replica in replicas])
    for replica in replicas:
        replica.restore()
    for replica in replicas:  # each has its share of what took time for all
        replica.meters.fused = max(replica.meters.fused, len(replicas))
        replica.meters.spend("data", read / len(replicas))
        replica.meters.spend("start", (time.monotonic() - replica.context.began - read) / len(replicas))
    for place in sorted({replica.session.clock.samples for replica in replicas}):
        _Loop([replica for replica in replicas if replica.session.clock.samples == place], shared=shared).work()
    return [Outcome(State.INTERRUPTED) if r.lost or r.outcome is None else r.outcome for r in replicas]


class _Loop:
    """Replicas at one place of their budgets, until all are over.

    Args:
        replicas: which.
        shared: their evaluations are computed at once, too.
    """

    def __init__(self, replicas: Sequence[Replica], *, shared: bool) -> None:
        self._gather(replicas)
        self.look = Look() if shared else None
        self.marks = self.first.writer.marks
        own = self.first.meters
        self.meters = Meters(torch.stack([replica.meters.loss for replica in self.replicas]))
        """Of all: its losses are (R,), its times those of the group since they were last shared out."""
        self.meters.samples, self.meters.summed, self.meters.gradients = own.samples, own.summed, own.gradients
        self.meters.largest_batch, self.meters.batchnorm_part = own.largest_batch, own.batchnorm_part
        self.told = 0.0

    def _gather(self, replicas: Sequence[Replica]) -> None:
        self.group = Group([r.session for r in replicas], [r.draws for r in replicas])
        by_session = {id(replica.session): replica for replica in replicas}
        self.replicas = [by_session[id(session)] for session in self.group.sessions]
        self.first = self.replicas[0]
        self.made = 0.0
        """Seconds of making batches that were shared out."""

    @property
    def live(self) -> list[int]:
        """Places of the replicas that are not over."""
        return [i for i, replica in enumerate(self.replicas) if replica.live]

    def work(self) -> None:
        """Train them."""
        self.meters.resume()
        lead = self.group.lead
        if lead.clock.steps == 0:  # where every curve begins
            self._evaluate(self.live, self.group.set_learning_rates(), lead.batch_size())
        while self.live and lead.clock.samples < lead.clock.total_samples:
            size = lead.batch_size()
            rates = self.group.set_learning_rates()
            batch = lead.take(size)
            loss, evaluations = self.group.step(batch)
            self._count(loss, batch.size, evaluations)
            lead.advance(batch.size)
            self._tell(rates, batch.size, loss)
            due = self.marks.due(lead.clock.samples - batch.size, lead.clock.samples)
            if due or lead.clock.steps % CONSENT_EVERY == 0:
                self._consent(due, rates, size)
                lead = self.group.lead

    def _count(self, loss: Tensor, size: int, evaluations: int) -> None:
        """Add a step to the meters; see `train.loop.step`."""
        meters, samples = self.meters, self.group.lead.clock.samples
        meters.loss += loss
        meters.samples += size
        meters.summed += size
        meters.gradients += size * evaluations
        meters.largest_batch = max(meters.largest_batch, size)
        if self.group.lead.batchnorm:
            meters.batchnorm_part = max(meters.batchnorm_part, part_of(self.first.session.config, size))
        if self.marks.enters(samples, samples + size):
            meters.restart(loss, size)

    def _tell(self, rates: Sequence[float], size: int, loss: Tensor) -> None:
        """Rows of the step, where they are wanted, measures that look at steps, and the progress."""
        writer = self.first.writer
        looks = bool(writer.at_step) and self.meters.samples == size
        if writer.steps_wanted or looks:
            if looks:
                self.group.lend()
            with self.meters.paused() if looks else nullcontext():
                for i in self.live:
                    replica = self.replicas[i]
                    replica.session.clock = self.group.lead.clock
                    replica.meters.samples = self.meters.samples
                    replica.meters.resume()
                    with self._kept(replica), replica.drawing():
                        replica.writer.step(rates[i], size, loss[i])
        elif time.monotonic() - self.told > TELL_SECONDS:
            self.told = time.monotonic()
            clock = self.group.lead.clock
            for i in self.live:
                self.replicas[i].context.run.write_progress(samples=clock.samples, total=clock.total_samples)

    @contextmanager
    def _kept(self, replica: Replica) -> Iterator[None]:
        """Within the block something is written of a replica; where it was taken by another process, it is let go."""
        try:
            yield
        except RunLostError as error:
            print(error, flush=True)
            replica.lost = True

    def _evaluate(self, places: Sequence[int], rates: Sequence[float], size: int) -> dict[int, dict[str, float]]:
        """Measure replicas, and write their rows.

        Args:
            places: of the replicas.
            rates: of all.
            size: the batch schedule's.

        Returns:
            The row of each.
        """
        rows: dict[int, dict[str, float]] = {}
        with self.meters.paused():
            self._share()
            self.group.lend()
            began = time.perf_counter()
            if self.look:
                self.look.ahead(self.group)
            ahead = (time.perf_counter() - began) / len(places)
            for i in places:
                replica = self.replicas[i]
                replica.meters.paused_since(ahead)
                with self._kept(replica), replica.drawing():
                    rows[i] = replica.writer.evaluate(rates[i], size)
            if self.look:
                self.look.note(self.group, places[0])
        return rows

    def _share(self) -> None:
        """Share out what was counted: the replicas' own meters are as if each had trained alone."""
        live, meters = self.live, self.meters
        seconds, processor = meters.train_seconds / len(live), meters.processor_seconds / len(live)
        meters.train_seconds = meters.processor_seconds = 0.0
        made, self.made = self.group.lead.batches.seconds - self.made, self.group.lead.batches.seconds
        for i in live:
            own = self.replicas[i].meters
            own.loss, own.samples, own.summed = meters.loss[i].clone(), meters.samples, meters.summed
            own.gradients, own.largest_batch = meters.gradients, meters.largest_batch
            own.batchnorm_part = meters.batchnorm_part
            own.train_seconds += seconds
            own.processor_seconds += processor
            own.batches(made / len(live))

    def _consent(self, due: bool, rates: Sequence[float], size: int) -> None:
        """See who has diverged; evaluate, save, end; see `train.loop`."""
        clock = self.group.lead.clock
        over = clock.samples >= clock.total_samples
        diverged = (~self.meters.loss.isfinite()).tolist()
        looked = [i for i in self.live if due or diverged[i]]
        rows = self._evaluate(looked, rates, size) if looked else {}
        if due:
            self.meters.loss = torch.zeros_like(self.meters.loss)
            self.meters.samples = self.meters.summed = 0
        ends: dict[int, Outcome] = {}
        for i, row in rows.items():
            lost = [key for key in LOSSES if not math.isfinite(row.get(key) or 0.0)]
            if diverged[i]:
                ends[i] = Outcome(State.DIVERGED, f"the training loss was not finite by step {clock.steps}")
            elif lost and over:
                ends[i] = Outcome(State.DIVERGED, f"{listing(lost)} not finite at the end")
        self._end(ends)
        stopping = any(replica.context.stopping for replica in self.replicas)
        if self.live and (stopping or self.first.saver.due()):
            self._save()
        if over or stopping:
            self._end(dict.fromkeys(self.live, Outcome(State.INTERRUPTED if stopping else State.DONE)))
        live = self.live
        if live and len(live) <= (1 - FROZEN) * len(self.replicas):
            self.meters.loss = self.meters.loss[live]
            self.group.lend()
            self._gather([self.replicas[i] for i in live])

    def _save(self) -> None:
        """Write the checkpoint of each."""
        with self.meters.paused():
            self._share()
            self.group.lend()
            for i in self.live:
                with self._kept(self.replicas[i]), self.replicas[i].drawing():
                    self.replicas[i].saver.save()
            self.first.saver.saved = time.monotonic()

    def _end(self, ends: Mapping[int, Outcome]) -> None:
        """Write down how replicas ended; several at a time, as most of it is to wait for the disk."""

        def write(place: int) -> None:
            replica = self.replicas[place]
            replica.outcome = ends[place]
            own = facts(replica.session.clock, replica.meters, replica.context, flops)
            with self._kept(replica):
                settle(replica.context.run, ends[place], replica.recorder, own)

        if ends:
            flops = flops_per_sample(self.first.session)  # they are of one model
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(write, ends))
