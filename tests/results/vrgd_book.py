"""Sweeps of vrgd in memory, whose right verdicts are known."""

import math
from dataclasses import replace

import numpy as np

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.papers.catalogue import build
from batchlab.results.store.record import to_arrow
from batchlab.results.store.run import State

TUNING = (101, 102)


def labelled(seed, tuning):
    return {} if tuning is None else {"tuning": seed in tuning}


class Book:
    """Runs with any configuration, in memory: what `load` makes of a sweep."""

    def __init__(self):
        self.runs, self.rows, self.layers, self.parts = [], [], [], []

    def run(self, labels, rows, *, optimizer, batch=2048, groups=8, dataset="digits", seed=0, state="done", layers=()):
        config = {
            "optimizer": optimizer,
            "lr_schedule": {"name": "constant"},
            "batch_schedule": {"name": "constant", "size": batch},
            "dataset": {"name": dataset},
            "train": {"groups": groups},
            "seed": seed,
        }
        place = slice(len(self.rows), len(self.rows) + len(rows))
        self.parts.append(slice(len(self.layers), len(self.layers) + len(layers)))
        self.runs.append(RunRow(f"run{len(self.runs):04}", State(state), None, {}, config, labels, {}, place))
        self.rows += rows
        self.layers += layers

    def frame(self):
        def layers(name, runs):
            parts = {run.run_id: part for run, part in zip(self.runs, self.parts, strict=True)}
            runs = [replace(run, rows=parts[run.run_id]) for run in runs]
            table = to_arrow(self.layers, {})
            return Frame(runs, table, frozenset(table.column_names), [], True)

        table = to_arrow(self.rows, {})
        return Frame(self.runs, table, frozenset(table.column_names), [], True, layers)

    def made(self):
        return build("vrgd", self.frame())


def walk(rate, noise, order=True, steps=100):
    """Loss 10 e^(-rate t); the weights jump from 0 to about 5.5 and creep to their targets, as in the real toy.

    order=0: all begin as far from them.
    """
    rows = []
    for t in range(steps + 1):
        row = {"samples": 2048 * t, "steps": t, "epoch": t / 100, "gradients": 2048 * t, "train_seconds": 0.01 * t}
        row |= {f"w{i}": i + (5.5 - i if order else 4.5) * math.exp(-rate * t) if t else 0.0 for i in range(1, 11)}
        rows.append(row | ({"train_loss": 10 * math.exp(-rate * t + noise)} if t else {}))
    return rows


def toy(book, rates, *, seeds=3, settings=(), order=True, states=(), tuning=TUNING):
    """rates: {method: rate of its loss at lr 0.2}; settings: {(gamma, k): rate} of VR-SGD with the upper clip 1.

    tuning: seeds that choose; None: a sweep from before there were any.
    """
    generator, states = np.random.default_rng(0), dict(states)
    for seed in (*(tuning or ()), *range(seeds)):
        for lr in (0.1, 0.2):
            for method, rate in rates.items():
                optimizer = {"name": "sgd", "lr": lr}
                if method != "sgd":
                    optimizer = {"name": "vr_sgd", "lr": lr, "upper": method, "gamma": 0.1, "control": False}
                rows = walk(rate * lr / 0.2, 0.01 * generator.normal(), order)
                state = states.get((method, lr), "done")
                book.run(
                    {"part": "toy"} | labelled(seed, tuning), rows, optimizer=optimizer, seed=seed, state=state,
                    dataset="linear_regression",
                    groups=1 if method == "sgd" else 64,
                )  # fmt: skip
        for (gamma, groups), rate in dict(settings if seed < 100 else ()).items():
            optimizer = {"name": "vr_sgd", "lr": 0.2, "upper": "one", "gamma": gamma, "control": False}
            rows = walk(rate, 0.01 * generator.normal())
            book.run(
                {"part": "toy"} | labelled(seed, tuning), rows, optimizer=optimizer, seed=seed, groups=groups,
                dataset="linear_regression",
            )  # fmt: skip


GRID = {"low": 0.1, "middle": 0.3, "high": 0.9}


def network(
    book, gain, control=0.03, *, seeds=3, batches=(32, 256, 1442), dataset="digits", states=(), best="middle",
    judged_best=None, tuning=TUNING,
):  # fmt: skip
    """Accuracy: 0.9 for the base at batch 32, 0.1 less per size; VR has `gain[batch]` more, its control `control` less.

    The best learning rate is `best`, for all; each step away from it costs 0.05. `judged_best`: the best of the judged
    seeds, where that is another.
    """
    generator, states = np.random.default_rng(1), dict(states)
    names = list(GRID)
    for pair, base in (("momentum", "shb"), ("adam", "adam")):
        for i, batch in enumerate(batches):
            for name, lr in GRID.items():
                for seed in (*(tuning or ()), *range(seeds)):
                    own = best if seed in (tuning or ()) else judged_best or best
                    level = 0.9 - 0.1 * i - 0.05 * abs(names.index(name) - names.index(own))
                    for variant, change in (("base", 0.0), ("VR", gain[batch]), ("control", gain[batch] - control)):
                        optimizer = {"name": base, "lr": lr}
                        if variant != "base":
                            optimizer = {"name": f"vr_{pair}", "lr": lr, "control": variant == "control"}
                        value = level + change + 0.001 * generator.normal()
                        rows = [
                            {"samples": 100 * t, "steps": t, "epoch": float(t), "test_accuracy": value * t}
                            for t in (0, 1)
                        ]
                        layers = [
                            {"samples": 1, "steps": 1, "layer": layer, "size": size, "mean": mean, "clipped_low": 0.1,
                             "clipped_high": 0.2}
                            for layer, size, mean in (("conv", 30, 0.4), ("fc", 10, 0.8))
                        ]  # fmt: skip
                        book.run(
                            {"part": "network", "pair": pair} | labelled(seed, tuning), rows, optimizer=optimizer,
                            batch=batch, seed=seed,
                            dataset=dataset, state=states.get((variant, batch, seed), "done"),
                            layers=layers if variant != "base" else (),
                        )  # fmt: skip
