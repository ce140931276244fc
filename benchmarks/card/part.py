"""A part's process: what it is given, and how it is run."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from card.images import MEAN, STD
from card.rows import Rows

MODULES = {"a": "epoch", "b": "steps", "c": "loader", "d": "waits", "e": "resume", "f": "schedules", "g": "fused"}


@dataclass
class Part:
    """What a part is given."""

    name: str
    rows: Rows
    work: Path
    ends: float
    """When it must have ended, by time.monotonic."""
    smoke: bool
    device: torch.device

    @property
    def left(self) -> float:
        """Seconds that are left of its time."""
        return self.ends - time.monotonic()

    @property
    def images(self) -> dict[str, Any]:
        """`said`, what the images are in words; whether they are `real`; `n`, how many."""
        return dict(json.loads((self.work / "images.json").read_text()))

    def add(self, name: str, value: float = float("nan"), unit: str = "", **more: Any) -> None:
        """Write a row of this part, see `Rows.add`."""
        self.rows.add(self.name, name, value, unit, **more)

    def attempt(self, what: str, work: Callable[[], object], least: float = 0.0) -> None:
        """Do a piece of work. What fails is reported, and the part goes on.

        Args:
            what: it is, in words.
            work: the piece.
            least: seconds that must be left for it to be begun.
        """
        if self.left < least:
            self.add(f"left out: {what}", note=f"{self.left:.0f} s were left, {least:.0f} are needed")
            return
        try:
            work()
        except Exception as error:  # whatever it is: the other figures are still wanted
            traceback.print_exc()
            self.add(f"failed: {what}", note=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])

    def overrides(self, file: str = "images", size: int = 512, **more: object) -> list[str]:
        """Of a run on the images: data set, augmentation, batch, device; `more` with __ in place of a dot."""
        if self.smoke:
            size = min(size, 32)
        values: dict[str, object] = {
            "dataset": "npz",
            "dataset.file": self.work / f"{file}.npz",
            "dataset.mean": list(MEAN),
            "dataset.std": list(STD),
            "dataset.pad": 4,
            "dataset.flip": "true",
            "model": "resnet8" if self.smoke else "resnet18",
            "batch_schedule": "constant",
            "train.device": self.device.type,
            "log.evaluate_every": 1000,
        }
        values |= {key.replace("__", "."): value for key, value in more.items()}
        if self.smoke and values["model"] in ("resnet18", "resnet20"):
            values["model"] = "resnet8"
        if values["batch_schedule"] == "constant":
            values.setdefault("batch_schedule.size", size)
        return [f"{key}={value}".replace(", ", ",") for key, value in values.items()]

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        """Of a piece of work, the device's included."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def turns(self, methods: Mapping[str, Callable[[], float]], most: int, reserve: float) -> dict[str, list[float]]:
        """Let methods, which give their seconds, take turns, so that a drift of the machine's speed meets all alike.

        The order is turned round every time. At least two turns; no further one that would not fit.

        Args:
            methods: by name.
            most: turns at most.
            reserve: seconds of the part's time to leave.
        """
        times: dict[str, list[float]] = {name: [] for name in methods}
        for turn in range(most):
            began = time.monotonic()
            for name in list(methods)[:: 1 if turn % 2 == 0 else -1]:
                times[name].append(methods[name]())
            if turn and self.left - reserve < 1.2 * (time.monotonic() - began):
                break
        return times


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Of each pair."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def median(samples: Sequence[float]) -> float:
    """Of the samples; not a number where there is none."""
    return statistics.median(samples) if samples else float("nan")


def card() -> str:
    """The card's name, without touching it: parts (e) and (f) leave it to the processes that they start."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split("\n")
    except (OSError, subprocess.SubprocessError):
        return torch.cuda.get_device_name()
    return names[0].strip()


def run_part(name: str, out: Path, work: Path, seconds: float, *, smoke: bool) -> None:
    """Run a part in this process."""
    began = time.monotonic()
    on_card = torch.cuda.is_available() and not smoke
    if not on_card and not smoke:
        sys.exit("no graphics card can be used here: --smoke tries the script on the CPU")
    if smoke:
        torch.set_num_threads(1)
    hardware = card() if on_card else "CPU"
    rows = Rows(out, f"{hardware}{' (smoke)' if smoke else ''}", torch.__version__)
    part = Part(
        name, rows, work, began + seconds - 4, smoke, torch.device("cuda", 0) if on_card else torch.device("cpu")
    )
    importlib.import_module(f"card.{MODULES[name]}").measure(part)
