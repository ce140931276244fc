"""(d) Where a training step waits for the device: PyTorch's own warnings, counted, with the places they come from.

What waits is allowed in an evaluation, in the check of all ranks every eight steps (`consent`) and in rows of steps;
anywhere else it holds the next step up. Without a card the reads of single numbers are counted instead, which is what
would wait.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from batchlab import datasets, optimizers, results, runner
from batchlab.results.store.run import Run
from batchlab.runner.train.loop import _loop as train_loop
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.watchers import Watchers
from batchlab.runner.train.writer import Writer
from card.epoch import SETTINGS, Still, config_of, train_options
from card.part import Part
from card.steps import hold

ROOMS = tuple(str(Path(room.__path__[0])) for room in (datasets, optimizers, results, runner))
"""Folders of our own code: in a checkout, what is installed may lie below its root."""
ALLOWED = {"evaluate": "evaluation", "consent": "consent", "save": "checkpoint"}
WARM = 3
"""Steps that are not counted: state is made in them."""


class Places:
    """Waits by kind and place."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.found: Counter[tuple[str, str]] = Counter()

    def note(self, operation: str) -> None:
        """One wait, here."""
        if self.session.clock.steps < WARM:
            return
        frames = [f for f in traceback.extract_stack() if f.filename.startswith(ROOMS)]
        kinds = [ALLOWED[f.name] for f in frames if f.name in ALLOWED]
        if any(f.name == "step" and Path(f.filename).name == "writer.py" for f in frames):
            kinds.append("rows of steps")
        chain = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames[-4:]))
        self.found[kinds[0] if kinds else "step", f"{operation} at {chain or 'a thread without our frames'}"] += 1

    def count(self, kind: str) -> int:
        """How many of a kind."""
        return sum(count for (k, _), count in self.found.items() if k == kind)


class Reads(TorchDispatchMode):
    """Counts what would wait if the tensors lay on a card: a number read from a tensor."""

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.places.note("a number read")
        return func(*args, **(kwargs or {}))


@contextmanager
def counting(places: Places, on_card: bool) -> Iterator[None]:
    """Note every wait within the block."""
    if not on_card:
        with Reads(places):
            yield
        return
    shown = warnings.showwarning

    def show(message: Any, *_: Any, **__: Any) -> None:
        text = str(message)
        if "synchroniz" in text.lower():
            places.note(text.split("(")[0].strip()[:60])

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
            warnings.showwarning = shown


def count(part: Part, title: str, options: dict[str, object]) -> None:
    """Train some steps, across the end of an epoch, and say where they waited."""
    images = 16 * 12 if part.smoke else 512 * 96
    session = Session.build(
        config_of(part, size=16 if part.smoke else 512, train__samples=images, **options), part.device, 0, 1
    )
    meters, context = Meters.on(part.device), Context(Run(part.work / "waits").create(), 0, 1, part.device)
    hold(session)
    places = Places(session)
    writer = Writer(session, meters, None, context, Watchers({}, None))
    with counting(places, part.device.type == "cuda"):
        train_loop(session, meters, writer, Still(), context)  # type: ignore[arg-type]
    steps = max(1, session.clock.steps - WARM)
    others = ", ".join(f"{kind} {n}" for kind, n in by_kind(places).items() if kind != "step")
    note = f"of {steps} steps; elsewhere: {others or 'none'}"
    part.add(f"waits a step, {title}", places.count("step") / steps, "", note=note)
    for (kind, place), n in places.found.most_common(8):
        print(f"        {n:5d} {kind}: {place}", flush=True)
    for (kind, place), n in places.found.most_common():
        if kind == "step":
            part.add(f"  {n} waits, {title}", float(n), "", note=place[:400])


def by_kind(places: Places) -> Counter[str]:
    """Waits by kind."""
    kinds: Counter[str] = Counter()
    for (kind, _), n in places.found.items():
        kinds[kind] += n
    return kinds


def measure(part: Part) -> None:
    """Optimizers and batch schedules that differ in what a step does."""
    initial = 16 if part.smoke else 512
    norm_test: dict[str, object] = {"batch_schedule": "norm_test", "batch_schedule__initial": initial}
    group_norm: dict[str, object] = {"model__norm": "group", "train__micro_batch": 128}
    if part.smoke:
        group_norm["model__groups"] = 8
    cases: dict[str, dict[str, object]] = {
        "shb": {},
        "shb, bf16, channels_last": train_options(SETTINGS["bf16, channels_last"]),
        "nshb": {"optimizer": "nshb"},
        "adamw": {"optimizer": "adamw", "optimizer__lr": 1e-3},
        "lars": {"optimizer": "lars"},
        "lamb": {"optimizer": "lamb"},
        "vr_sgd, 8 groups": {"optimizer": "vr_sgd", "optimizer__weight_decay": 0.0, "train__groups": 8},
        "norm test, 8 groups": {**norm_test, "train__groups": 8},
        "norm test, per_sample": {**norm_test, **group_norm, "batch_schedule__estimator": "per_sample"},
        "shb, compiled": train_options(SETTINGS["bf16, channels_last, compiled"]),
    }
    if part.smoke:
        cases = {title: cases[title] for title in list(cases)[::2] + list(cases)[7::2]}
    for title, options in cases.items():
        part.attempt(title, partial(count, part, title, options), 0 if part.smoke else 6)
