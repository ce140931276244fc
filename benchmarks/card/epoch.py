"""(a) An epoch of ResNet-18 through batchlab's training loop, against a bare hand-written loop of the same settings.

Both train the same model on the same images with the same batch, augmentation, precision, memory format and optimizer;
they take turns. The epoch is 98 whole batches of 512, evaluation excluded. What a smaller last batch costs a compiled
model, which is compiled anew for it, is measured apart.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from batchlab.results.store.run import Run
from batchlab.runner.plan.build import build
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.loop import _loop as train_loop
from batchlab.runner.train.rank import Context, Meters
from batchlab.runner.train.session import Session
from batchlab.runner.train.watchers import Watchers
from batchlab.runner.train.writer import Writer
from card.images import BATCH, MEAN, STD
from card.part import Part, median, ratios

SETTINGS: dict[str, dict[str, object]] = {
    "bf16, channels_last, compiled": {"precision": "bfloat16", "channels_last": "true", "compile": "true"},
    "bf16, channels_last": {"precision": "bfloat16", "channels_last": "true"},
    "float32 (TF32 convolutions)": {},
}


class Still:
    """A saver that has nothing to do: checkpoints are timed apart."""

    def due(self) -> bool:
        """Never."""
        return False


def config_of(part: Part, **more: object) -> RunConfig:
    """The configuration that `batchlab train` would freeze."""
    options: dict[str, object] = {"optimizer": "shb", "optimizer__lr": 0.05, "optimizer__weight_decay": 5e-4}
    if part.smoke and "train__compile" in more:
        options["model"] = "mlp"  # a convolutional network takes a processor a minute to compile
    (planned,) = compose(part.overrides(**(options | more)))  # type: ignore[arg-type]
    return RunConfig.of(planned.tree)


def train_options(settings: dict[str, object]) -> dict[str, object]:
    """As overrides."""
    return {f"train__{key}": value for key, value in settings.items()}


def ours(config: RunConfig, device: torch.device, folder: Path) -> tuple[Session, Callable[[], float]]:
    """A session, and what trains it over its budget again: seconds of training, rows and consents included."""
    session = Session.build(config, device, 0, 1)

    def run() -> float:
        session.clock = dataclasses.replace(session.clock, samples=0, steps=0)
        session.batches.seek(0)
        meters, context = Meters.on(device), Context(Run(folder).create(), 0, 1, device)
        train_loop(session, meters, Writer(session, meters, None, context, Watchers({}, None)), Still(), context)  # type: ignore[arg-type]
        return meters.train_seconds

    return session, run


def bare_batches(pixels: Tensor, y: Tensor, size: int, channels_last: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches, cropped and mirrored at random by one gather: padded images lie on the device, normalised."""
    side, device = 32, pixels.device
    places = torch.arange(side, device=device)
    for index in torch.randperm(len(y), device=device).split(size):
        rows = torch.randint(9, (len(index), 1), device=device) + places
        columns = torch.randint(9, (len(index), 1), device=device)
        mirrored = torch.rand(len(index), 1, device=device) < 0.5
        columns = columns + torch.where(mirrored, side - 1 - places, places)
        x = pixels[index[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        yield x if channels_last else x.contiguous(), y[index]


def bare(config: RunConfig, device: torch.device) -> Callable[[], float]:
    """The textbook's loop, with all that a careful hand puts into it and nothing else."""
    options = config.train
    with np.load(config.dataset["file"]) as content:
        x, y = torch.from_numpy(content["x_train"]).to(device), torch.from_numpy(content["y_train"]).to(device)
    pixels = (x.float() / 255 - torch.tensor(MEAN, device=device)) / torch.tensor(STD, device=device)
    pixels = F.pad(pixels, (0, 0, 4, 4, 4, 4))
    model: nn.Module = build(config.model, "model", shape=(3, 32, 32), classes=10).to(device).train()
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, fused=True)
    forward = cast(nn.Module, torch.compile(model)) if options.compile else model
    size = int(config.batch_schedule["size"])

    def precision() -> AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16) if options.precision == "bfloat16" else nullcontext()

    def run() -> float:
        began = now(device)
        for inputs, targets in bare_batches(pixels, y, size, options.channels_last):
            optimizer.zero_grad()
            with precision():
                output = forward(inputs)
            F.cross_entropy(output.float(), targets).backward()
            optimizer.step()
        return now(device) - began

    return run


def now(device: torch.device) -> float:
    """The time, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def flops_per_image(config: RunConfig) -> float:
    """Floating-point operations of a forward and backward pass for one image."""
    model: nn.Module = build(config.model, "model", shape=(3, 32, 32), classes=10)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    return counter.get_total_flops() / 4


def matrix_peak(part: Part) -> list[float]:
    """Operations per second of a large bf16 product on random numbers, measured ten times."""
    side = 256 if part.smoke else 8192
    a, b = (torch.randn(side, side, device=part.device).bfloat16() for _ in range(2))
    for _ in range(5):
        a @ b
    return [2 * side**3 * 10 / part.seconds(lambda: [a @ b for _ in range(10)]) for _ in range(10)]


def compare(part: Part, title: str, settings: dict[str, object], turns: int, peak: float) -> None:
    """Ours and the bare loop in turns, over whole epochs."""
    images = 64 if part.smoke else 98 * BATCH
    config = config_of(part, file="epoch", train__samples=images, **train_options(settings))
    loops: dict[str, Callable[[], float]] = {}
    first: dict[str, float] = {}
    _, loops["ours"] = ours(config, part.device, part.work / "epoch")
    loops["bare"] = bare(config, part.device)
    for name, loop in loops.items():
        first[name] = loop()
        loop()
    reserve = 5.0 if settings.get("compile") else 2.0
    times = part.turns(loops, turns, reserve)
    flops = flops_per_image(config)
    rates = {name: [images / s for s in times[name]] for name in times}
    part.add(
        f"images a second, {title}", unit="1/s", samples=rates["ours"], peer="bare loop",
        ratios=ratios(rates["ours"], rates["bare"]), note="ratio of rates; target 0.95",
    )  # fmt: skip
    part.add(f"images a second, bare loop, {title}", unit="1/s", samples=rates["bare"])
    part.add(f"50,000 images, {title}", unit="s", samples=[50_000 / r for r in rates["ours"]])
    for name, values in rates.items():
        shares = [100 * r * flops / peak for r in values]
        note = f"{flops / 1e9:.2f} GFLOP an image, forward and backward"
        part.add(f"share of the matrix peak, {name}, {title}", unit="%", samples=shares, note=note)
    if settings.get("compile"):
        for name, seconds in first.items():
            part.add(f"first epoch less a later one: compiling, {name}", seconds - median(times[name]), "s")


def smaller_last_batch(part: Part) -> None:
    """Epochs that end with a smaller batch, as every user's do: the compiled model is compiled anew for its size."""
    compiled = train_options(SETTINGS["bf16, channels_last, compiled"])
    n = int(part.images["n"])
    size = 80 if part.smoke else BATCH  # neither divides the number of images
    whole = config_of(part, batch_schedule__size=size, train__epochs=2.0, **compiled)
    _, run = ours(whole, part.device, part.work / "epoch")
    first = run()
    samples = [2 * n / run() for _ in range(3)]
    part.add("images a second, compiled, epochs with a smaller last batch", unit="1/s", samples=samples)
    part.add("its first two epochs less later ones: compiling, twice", first - 2 * n / median(samples), "s")


def fastest_convolutions(part: Part) -> None:
    """What cudnn.benchmark, which batchlab does not set, would bring the bare loop."""
    settings = SETTINGS["bf16, channels_last"]
    config = config_of(part, file="epoch", **train_options(settings))
    loop = bare(config, part.device)

    def with_flag(value: bool) -> Callable[[], float]:
        def run() -> float:
            torch.backends.cudnn.benchmark = value
            seconds = loop()
            torch.backends.cudnn.benchmark = False
            return seconds

        return run

    methods = {"searched": with_flag(True), "usual": with_flag(False)}
    for method in methods.values():
        method()
    times = part.turns(methods, 2 if part.smoke else 3, 1)
    pairs = ratios(times["usual"], times["searched"])
    part.add("bare loop, bf16, channels_last: cudnn.benchmark, rate", ratios=pairs, peer="without it")


def measure(part: Part) -> None:
    """All of it, the compiled epoch first."""
    peaks = matrix_peak(part)
    part.add("bf16 matrix product, 8,192 cubed", unit="TFLOP/s", samples=[p / 1e12 for p in peaks])
    peak = median(peaks)
    compiled, bf16, single = SETTINGS
    least = 0.0 if part.smoke else 1.0
    for title, turns in ((compiled, 7), (bf16, 4)):
        most = 2 if part.smoke else turns
        part.attempt(title, partial(compare, part, title, SETTINGS[title], most, peak), 20 * least)
    part.attempt("cudnn.benchmark", partial(fastest_convolutions, part), 15 * least)
    part.attempt(single, partial(compare, part, single, SETTINGS[single], 2, peak), 30 * least)
    part.attempt("a smaller last batch", partial(smaller_last_batch, part), 40 * least)  # compiles: it may take long
