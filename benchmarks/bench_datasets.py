"""What it costs to feed a model: ours beside a bare hand-written loop and torchvision's DataLoader.

    OMP_NUM_THREADS=1 python benchmarks/bench_datasets.py [--repeat N] [--device cpu] [--workers 0 2]

Methods take turns, and a ratio is the median over turns of theirs to ours in the same turn. Images are random bytes:
nothing is downloaded. `bare` keeps normalised floats on the device, shuffles once an epoch and indexes: the least
that a loop can do, and it does not augment.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from batchlab.datasets import Batches, Dataset, Preprocessing, prepare

Epoch = Callable[[], Iterator[tuple[Tensor, Tensor]]]
Clock = Callable[[], float]
MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


def images(n: int, side: int, channels: int, preprocessing: Preprocessing) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    y = rng.integers(0, 10, n)
    return Dataset("random", x, y, x[:1], y[:1], 10, preprocessing)


def ours(dataset: Dataset, size: int, device: str) -> Epoch:
    stream = Batches(dataset, seed=0, device=device)

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        seen = 0
        while seen < stream.n:
            batch = stream.take(size)
            seen += batch.size
            yield from batch.micro

    return epoch


def bare(dataset: Dataset, size: int, device: str) -> Epoch:
    whole = Batches(dataset, seed=0, device=device).take(dataset.n)
    [(x, y)] = whole.micro

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(x), device=device).split(size):
            yield x[index], y[index]

    return epoch


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR10 does it: a PIL image, then the transforms."""

    def __init__(self, dataset: Dataset, transform: Callable[[Image.Image], Tensor]) -> None:
        self.x, self.y, self.transform = dataset.x_train, dataset.y_train.tolist(), transform

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.x[index])), self.y[index]


def loader(dataset: Dataset, size: int, device: str, workers: int) -> Epoch:
    pre = dataset.preprocessing
    steps: list[Callable[..., object]] = []
    if pre.pad:
        steps.append(transforms.RandomCrop(32, padding=pre.pad))
    if pre.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if pre.rotate:
        steps.append(transforms.RandomRotation(pre.rotate))
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    pictures = Pictures(dataset, transforms.Compose(steps))
    batches = DataLoader(
        pictures, size, shuffle=True, num_workers=workers, persistent_workers=workers > 0, pin_memory=device != "cpu"
    )

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in batches:
            yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    return epoch


def seconds(work: Callable[[], None], device: str, clock: Clock) -> float:
    start = clock()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def compare(
    methods: dict[str, Callable[[], None]], repeat: int, device: str, clock: Clock = time.perf_counter
) -> tuple[dict[str, float], list[float]]:
    """Median seconds of each, and of each one's ratio to the first."""
    for work in methods.values():
        seconds(work, device, clock)
    turns = [[seconds(work, device, clock) for work in methods.values()] for _ in range(repeat)]
    medians = [statistics.median(column) for column in zip(*turns, strict=True)]
    ratios = [statistics.median(turn[k] / turn[0] for turn in turns) for k in range(len(methods))]
    return dict(zip(methods, medians, strict=True)), ratios


def consume(epoch: Epoch) -> Callable[[], None]:
    def work() -> None:
        for _ in epoch():
            pass

    return work


def train(epoch: Epoch, device: str, channels: int) -> Callable[[], None]:
    """An epoch of plain SGD on the smallest convolutional network that makes sense: the loader has nowhere to hide."""
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
    ).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def work() -> None:
        for x, y in epoch():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return work


def bench_loop(repeat: int, device: str) -> None:
    print("\ntraining on digits-sized images, no augmentation: samples/s of ours over the bare loop's")
    dataset = images(1442, 8, 1, Preprocessing(white=255.0))
    clock = time.process_time if device == "cpu" else time.perf_counter  # neighbours on the machine do not count
    for size in (8, 32, 128, 1442):
        methods = {
            "ours": train(ours(dataset, size, device), device, 1),
            "bare": train(bare(dataset, size, device), device, 1),
        }
        medians, ratios = compare(methods, repeat, device, clock)
        steps = -(-dataset.n // size)
        feed, _ = compare({"ours": consume(ours(dataset, size, device))}, repeat, device, clock)
        print(
            f"  b {size:5d}   ratio {ratios[1]:5.3f}   step {medians['ours'] / steps * 1e6:8.1f} us, "
            f"of which feeding {feed['ours'] / steps * 1e6:6.1f} us"
        )


def bench_augmented(repeat: int, device: str, workers: list[int]) -> None:
    kinds = {
        "crop, flip": Preprocessing(255.0, MEAN, STD, pad=4, flip=True),
        "crop, flip, rotate 15": Preprocessing(255.0, MEAN, STD, pad=4, flip=True, rotate=15.0),
    }
    print("\naugmented 32 x 32 x 3 batches: seconds of torchvision's DataLoader over ours")
    for kind, preprocessing in kinds.items():
        dataset = images(5000, 32, 3, preprocessing)
        for size in (8, 128, 2048):
            methods = {"ours": consume(ours(dataset, size, device))}
            methods |= {f"{w} workers": consume(loader(dataset, size, device, w)) for w in workers}
            medians, ratios = compare(methods, repeat, device)
            beside = "   ".join(f"{n}: {r:5.1f}x" for n, r in list(zip(methods, ratios, strict=True))[1:])
            print(f"  {kind:22s} b {size:5d}   ours {dataset.n / medians['ours']:10,.0f} samples/s   {beside}")


def bench_load(repeat: int) -> None:
    """In a fresh process each time, less its imports of numpy."""
    code = (
        "import sys, time, numpy; t = time.perf_counter(); from batchlab.datasets.images import digits;"
        "digits(sys.argv[1], mean=[0.3], std=[0.4]); print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as root:
        prepare("digits", root)
        run = [sys.executable, "-c", code, root]
        times = [float(subprocess.run(run, capture_output=True, check=True).stdout) for _ in range(repeat)]
    print(f"\nloading digits in a new process: {statistics.median(times) * 1e3:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    hardware = torch.cuda.get_device_name() if options.device != "cpu" else platform.processor() or platform.machine()
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {hardware}, medians of {options.repeat}")
    bench_loop(options.repeat, options.device)
    bench_augmented(options.repeat, options.device, options.workers)
    bench_load(options.repeat)


if __name__ == "__main__":
    main()
