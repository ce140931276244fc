"""Frames made from frames, against small cases worked out by hand."""

import math
from dataclasses import replace
from itertools import product
from statistics import median

import pytest

from batchlab.results.compare.choice import best_value
from batchlab.results.compare.derived import known_by, numbers, split
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import build_table
from batchlab.results.store.record import Recorder

ACCURACY = Metric("test_accuracy")


def lay(lab, curve, seeds=3, layers=("conv", "fc")):
    for seed in range(seeds):
        run = lab.run(f"a{seed}", curve([0.1, 0.2]), state="interrupted", seed=seed)
        with Recorder(run) as recorder:
            for samples in (64, 128) if seed else ():
                for i, layer in enumerate(layers):
                    row = {"samples": samples, "layer": layer, "mean": samples + i + 0.1 * seed}
                    recorder.write("layers", row)


def test_the_other_streams_of_the_same_runs(lab, curve):
    lay(lab, curve)
    frame = load(lab.store).select(lambda run: run.run_id != "a2")
    layers = frame.stream("layers")
    assert [run.run_id for run in layers.runs] == ["a0", "a1"]
    means, _ = layers.column("mean")
    assert [means[run.rows].tolist() for run in layers.runs] == [[], [64.1, 65.1, 128.1, 129.1]]
    assert replace(frame, reread=None).stream("layers").names == frozenset()


def test_a_run_for_each_layer(lab, curve):
    lay(lab, curve, layers=("w", "a"))
    parts = split(load(lab.store).stream("layers"), "layer")
    assert [(run.value("seed"), run.value("layer")) for run in parts.runs] == [(1, "w"), (1, "a"), (2, "w"), (2, "a")]
    assert parts.values("layer") == ["w", "a"]  # as they come in the model, not by name
    means, _ = parts.column("mean")
    assert [means[run.rows].tolist() for run in parts.runs][:2] == [[64.1, 128.1], [65.1, 129.1]]
    assert split(load(lab.store), "layer").runs == []


def test_numbers_are_runs(lab, curve):
    lab.run("a", curve([0.1]), seed=7)
    lab.run("b", curve([0.1]), state="diverged", seed=8)
    first, second = load(lab.store).runs
    frame = numbers([(first, {"pair": "x"}, {"gain": 1.5}), (second, {"pair": "x"}, {})])
    assert [run.value("pair") for run in frame.runs] == ["x", "x"]
    cell = build_table(frame, rows=["pair"], metrics=[Metric("gain")]).cells[("x",), (), Metric("gain")]
    assert cell.values == {7: 1.5}
    assert cell.losses.diverged == 1


def test_known_by_labels_alone(lab, curve):
    for lr, seed in product((0.1, 0.3), range(2)):
        lab.run(f"{lr}-{seed}", curve([0.0, lr + seed / 10]), seed=seed, lr=lr)
    frame = load(lab.store)
    table = build_table(frame, rows=["optimizer"], metrics=[ACCURACY])
    assert table.mixed == ["optimizer.lr"]
    plain = known_by(frame, lambda run: {"optimizer": run.value("optimizer"), "lr": run.value("optimizer.lr")})
    assert build_table(plain, rows=["optimizer"], metrics=[ACCURACY]).mixed == []
    assert plain.where(lr=0.3, seed=1).runs[0].value("optimizer") == "shb"


@pytest.mark.parametrize(
    ("costs", "best"),
    [
        ({0.1: [1.0, 3.0, 2.0], 0.3: [1.5, 1.5, 1.5]}, 0.3),
        ({0.3: [1.0], 0.1: [1.0]}, 0.1),
        ({0.1: [0.0, 0.0, math.inf], 0.3: [9.0, 9.0, 9.0]}, 0.3),  # the median of the first alone would be 0
        ({0.1: [0.0, math.nan, 0.0]}, None),
        ({0.1: []}, None),
        ({}, None),
    ],
)
def test_the_rule_of_a_choice(costs, best):
    assert best_value(costs, median) == best
