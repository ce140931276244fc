"""Samples per second of batchlab's training loop against two loops written by hand: a bare one, whose batches are
slices of a tensor, and the usual one with a DataLoader and torchvision transforms. Same model, batch size and threads;
the three take turns, medians of ratios are printed.

    python benchmarks/bench_train.py [--repeats 7]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from batchlab.results.store.run import Run
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.loop import _loop as train_loop
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.watchers import Watchers
from batchlab.runner.train.writer import Writer

CASES = {
    "digits resnet8 b 128": ["dataset=digits", "model=resnet8", "train.epochs=1"],
    "digits resnet8 b 8": ["dataset=digits", "model=resnet8", "batch_schedule.size=8", "train.samples=480"],
    "digits mlp b 32": ["dataset=digits", "model=mlp", "batch_schedule.size=32", "train.epochs=3"],
    "28 x 28 cnn b 128": ["dataset=npz", "dataset.file=images", "model=cnn_mnist", "train.epochs=1"],
}


class Still:
    """A saver that has nothing to do: checkpoints are timed apart."""

    def due(self) -> bool:
        """Never."""
        return False


def ours(config: RunConfig, folder: Path) -> Callable[[], float]:
    """Seconds of the whole loop of `batchlab train`, its rows and consents included, evaluations taken out."""

    def run() -> float:
        session = Session.build(config, torch.device("cpu"), 0, 1)
        meters, context = Meters.on(torch.device("cpu")), Context(Run(folder).create(), 0, 1, torch.device("cpu"))
        began = time.perf_counter()
        train_loop(session, meters, Writer(session, meters, None, context, Watchers({}, None)), Still(), context)  # type: ignore[arg-type]
        return time.perf_counter() - began - meters.eval_seconds

    return run


def bare(config: RunConfig) -> Callable[[], float]:
    """The textbook's loop over slices of a shuffled tensor that was normalised beforehand."""
    session = Session.build(config, torch.device("cpu"), 0, 1)
    n = session.batches.n
    whole = session.batches.take(n).micro
    x, y = torch.cat([part[0] for part in whole]).clone(), torch.cat([part[1] for part in whole]).clone()
    size, budget = int(config.batch_schedule["size"]), config.train.total_samples(n)

    def run() -> float:
        model, optimizer = session.model, session.optimizer
        model.train()
        began, seen = time.perf_counter(), 0
        while seen < budget:
            order = torch.randperm(n)
            for start in range(0, n, size):
                index = order[start : start + min(size, budget - seen)]
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[index]), y[index]).backward()
                optimizer.step()
                seen += len(index)
                if seen >= budget:
                    break
        return time.perf_counter() - began

    return run


class Images(Dataset[tuple[torch.Tensor, int]]):
    """What torchvision's data sets do: an image, its transform, its label."""

    def __init__(self, config: RunConfig) -> None:
        session = Session.build(config, torch.device("cpu"), 0, 1)
        self.x, self.y = session.dataset.x_train, session.dataset.y_train
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.3,), (0.4,))])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.x[index]
        return self.transform(np.asarray(image, np.uint8)), int(self.y[index])


def usual(config: RunConfig) -> Callable[[], float]:
    """DataLoader in this process, transforms per sample."""
    session = Session.build(config, torch.device("cpu"), 0, 1)
    images = Images(config)
    size, budget = int(config.batch_schedule["size"]), config.train.total_samples(len(images))

    def run() -> float:
        model, optimizer = session.model, session.optimizer
        model.train()
        began, seen = time.perf_counter(), 0
        while seen < budget:
            for x, y in DataLoader(images, size, shuffle=True):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
                seen += len(y)
                if seen >= budget:
                    break
        return time.perf_counter() - began

    return run


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        images = {
            f"x_{s}": random.integers(0, 256, (m, 28, 28, 1), np.uint8) for s, m in (("train", 2560), ("test", 64))
        }
        labels = {f"y_{s}": random.integers(0, 10, m) for s, m in (("train", 2560), ("test", 64))}
        np.savez(folder / "images.npz", **images, **labels)
        print(f"torch {torch.__version__}, 1 thread, {repeats} turns; samples per second")
        for title, overrides in CASES.items():
            overrides = [o.replace("=images", f"={folder / 'images.npz'}") for o in overrides]
            (planned,) = compose([*overrides, "train.device=cpu", "log.evaluate_every=1000"])
            config = RunConfig.of(planned.tree)
            loops = {"ours": ours(config, folder / "run"), "bare": bare(config), "usual": usual(config)}
            for loop in loops.values():
                loop()
            seconds: dict[str, list[float]] = {key: [] for key in loops}
            for _ in range(repeats):
                for key, loop in loops.items():
                    seconds[key].append(loop())
            n = Session.build(config, torch.device("cpu"), 0, 1).batches.n
            rate = config.train.total_samples(n) / statistics.median(seconds["ours"])
            ratio = {
                key: statistics.median(b / a for a, b in zip(seconds["ours"], seconds[key], strict=True))
                for key in ("bare", "usual")
            }
            print(
                f"{title:22} {rate:9.0f}/s   ours/bare {ratio['bare']:.2f} (target 0.95)   "
                f"ours/DataLoader {ratio['usual']:.2f}"
            )


if __name__ == "__main__":
    main()
