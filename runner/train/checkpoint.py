"""Save and restore everything that the rest of a run depends on, so that a resumed run is the same run, bit for bit."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import OrderedDict
from typing import Any

import torch
import torch.distributed as dist

from batchlab.results.store.record import Recorder
from batchlab.runner.measures import Measure
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.train import kept
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session


class Saver:
    """What a run's checkpoints hold; `kept` has their files."""

    def __init__(self, session: Session, meters: Meters, recorder: Recorder | None, context: Context) -> None:
        self.session = session
        self.meters = meters
        self.recorder = recorder
        self.context = context
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Has `train.checkpoint_seconds` passed? Rank 0's watch counts for all."""
        late = time.monotonic() - self.saved > self.session.config.train.checkpoint_seconds
        if self.context.world_size > 1:
            flag = torch.tensor(float(late), device=self.context.device)
            dist.broadcast(flag, 0)
            late = bool(flag)
        return late

    def save(self) -> None:
        """Write the checkpoint in place of the one before, atomically. Every rank must call it.

        Raises:
            ConfigError: a measure's state is not plain; the checkpoint before stays.
        """
        session, meters = self.session, self.meters
        mine = self._of_this_rank()
        ranks: list[Any] | None = [None] * self.context.world_size if self.context.rank == 0 else None
        if self.context.world_size > 1:
            dist.gather_object(mine, ranks)
        else:
            ranks = [mine]
        self.saved = time.monotonic()
        if self.recorder is None:
            return
        spent = self._spent()
        state = {
            "model": session.model.state_dict(),
            "optimizer": session.optimizer.state_dict(),
            "batch_schedule": session.batch_schedule.state_dict(),
            "batches": session.batches.state_dict(),
            "samples": session.clock.samples,
            "steps": session.clock.steps,
            "meters": {
                "samples": meters.samples,
                "summed": meters.summed,
                "gradients": meters.gradients,
                "largest_batch": meters.largest_batch,
                "batchnorm_part": meters.batchnorm_part,
                "train_seconds": meters.train_seconds,
                "eval_seconds": meters.eval_seconds,
                "processor_seconds": meters.processor_seconds,
                "fused": meters.fused,
                "spent": spent,
                "commands": meters.kept(spent),
            },
            "rows": self.recorder.counts(),
            "ranks": ranks,
        }
        kept.write(self.context.run, state)

    def _spent(self) -> dict[str, float]:
        """Where time went until now, with what this process's batches took."""
        before, made = self.meters.spent, self.session.batches.seconds
        return before | {part: before.get(part, 0.0) + made for part in ("data", "data_training")}

    def _of_this_rank(self) -> dict[str, Any]:
        """What differs between ranks: random states, BatchNorm's statistics, the loss so far, the measures' states."""
        cuda = self.context.device.type == "cuda"
        return {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.context.device) if cuda else None,
            "buffers": [b.detach().cpu() for b in self.session.model.buffers()],
            "loss": self.meters.loss.cpu(),
            "measures": {name: plain_state(name, measure) for name, measure in self.session.measures.items()},
        }

    def restore(self) -> bool:
        """Continue from the checkpoint where there is one; otherwise begin anew, without rows of an earlier try.

        Raises:
            ConfigError: when the file is damaged, or a measure does not take back its state; no row is touched then.
        """
        state = kept.read(self.context, self.recorder)
        if state is None:
            if self.recorder is not None:
                self.recorder.truncate({})
            return False
        path = self.context.run.checkpoints[0]
        session, meters = self.session, self.meters
        try:
            session.model.load_state_dict(state["model"])
            session.optimizer.load_state_dict(state["optimizer"])
            session.batch_schedule.load_state_dict(state["batch_schedule"])
            session.batches.load_state_dict(state["batches"])
            mine = state["ranks"][self.context.rank]
            measured = measures_of(state, self.context.rank)
            meters.samples, meters.gradients = state["meters"]["samples"], state["meters"]["gradients"]
            meters.summed = state["meters"].get("summed", meters.samples)  # earlier versions summed over all of them
            meters.train_seconds = state["meters"]["train_seconds"]
            meters.eval_seconds = state["meters"]["eval_seconds"]
            meters.processor_seconds = state["meters"].get("processor_seconds", math.nan)  # earlier versions kept none
            for part, seconds in state["meters"].get("spent", {}).items():
                meters.spend(part, seconds)
            meters.take_back(state["meters"].get("commands", {}))
            meters.largest_batch = state["meters"].get("largest_batch", 0)  # nor these
            meters.batchnorm_part = state["meters"].get("batchnorm_part", 0)
            meters.fused = state["meters"].get("fused", 0)
            rows = state["rows"]
        except Exception as error:  # a wrong type, a missing key: all mean one thing
            raise ConfigError(
                f"{path} is damaged ({type(error).__name__}): {kept.way_out(self.context.run)}"
            ) from error
        for name, measure in session.measures.items():
            try:
                measure.load_state_dict(measured.get(name, {}))
            except Exception as error:  # whatever a user's code raises
                raise ConfigError(
                    f"measure={name}: {type(measure).__name__} does not take back its state in {path} "
                    f"({type(error).__name__}: {error}): mend its load_state_dict, or "
                    f"{kept.way_out(self.context.run)}"
                ) from error
        session.clock = dataclasses.replace(session.clock, samples=state["samples"], steps=state["steps"])
        if session.moments is not None:
            session.batch_schedule.size(session.clock)  # only now does it know the training set, which may be its cap
            session.set_measuring()
        with torch.no_grad():
            for buffer, saved in zip(session.model.buffers(), mine["buffers"], strict=True):
                buffer.copy_(saved)
        meters.loss = mine["loss"].to(self.context.device)
        torch.set_rng_state(mine["cpu"].cpu())
        if mine["cuda"] is not None and self.context.device.type == "cuda":
            torch.cuda.set_rng_state(mine["cuda"].cpu(), self.context.device)
        if self.recorder is not None:
            self.recorder.truncate(rows)
        return True


def measures_of(state: dict[str, Any], rank: int) -> dict[str, Any]:
    """The states of a rank's measures.

    Earlier checkpoints have those of rank 0 alone, for all ranks; batchlab 0.1's that of one, under another name.

    Args:
        state: a checkpoint.
        rank: whose.
    """
    found: dict[str, Any]
    for place in (state["ranks"][rank], state):
        if "measures" in place:
            found = place["measures"]
            return found
    return {"full_gradient_norm_paper": state["augmented"] or {}}


def plain_state(name: str, measure: Measure) -> dict[str, Any]:
    """A measure's state as a checkpoint can hold it, its tensors on the CPU.

    Raises:
        ConfigError: something in it is not plain, and would not come back.
    """
    state = _plain(measure.state_dict(), f"measure={name}: state_dict() of {type(measure).__name__}")
    if not isinstance(state, dict):
        raise ConfigError(f"measure={name}: state_dict() of {type(measure).__name__} must give a dict, got {state!r}")
    return state


def _plain(value: Any, where: str) -> Any:
    """A copy with tensors on the CPU. Types are compared as they are: np.float64 is a float, and yet does not load."""
    kind = type(value)
    if kind in (torch.Tensor, torch.nn.Parameter):
        return value.detach().cpu()
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return kind(_plain(item, f"{where}[{place}]") for place, item in enumerate(value))
    if kind in (dict, OrderedDict):  # the latter is what a module's state_dict() gives
        for key in value:
            if type(key) not in (str, int, float, bool):
                raise ConfigError(f"{where} has the key {key!r} of type {_kind_of(key)}: use a text or a number")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise ConfigError(
        f"{where} is a {_kind_of(value)}, which a checkpoint cannot hold: give tensors, numbers, texts and None, in "
        "lists and dicts (of NumPy's numbers x.item(), of its arrays torch.from_numpy(x))"
    )


def _kind_of(value: object) -> str:
    """The name of its type, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
