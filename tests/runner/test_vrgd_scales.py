"""VRGD's three scales compose, validate, and give both sides the same choices."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from batchlab.datasets import available
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import plan
from batchlab.runner.plan.validate import validate

BATCHES = {"laptop": [32, 256, 1442], "gpu": [256, 2048, 8192], "paper": [256, 512, 1024, 2048, 4096, 8192]}
SEEDS = {"laptop": {0, 1, 2}, "gpu": {0, 1, 2}, "paper": {0, 1, 2, 3, 4}}
RUNS = {"laptop": (429, 248), "gpu": (324, 216), "paper": (1080, 432)}
PAIRS = {"momentum": "shb", "adam": "adam", "lars": "lars", "lamb": "lamb"}


@cache
def all_at(scale: str) -> list[Planned]:
    return plan("vrgd", scale).plans


@cache
def planned_at(scale: str) -> list[Planned]:
    """Without the workloads, which `test_vrgd_workloads` looks at."""
    return [planned for planned in all_at(scale) if planned.labels["part"] in ("toy", "network")]


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_both_sides_have_the_same_choices(scale: str) -> None:
    plans = planned_at(scale)
    ready = {entry.name for entry in available() if entry.ready}
    validate(plans, data_at_hand={p.tree["dataset"]["name"] for p in plans} <= ready)
    offered: dict[tuple[str, int], dict[str, set[tuple[float, int]]]] = defaultdict(lambda: defaultdict(set))
    shared: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for planned in plans:
        tree = planned.tree
        if planned.labels["part"] != "network":
            continue
        optimizer, pair, batch = tree["optimizer"], planned.labels["pair"], tree["batch_schedule"]["size"]
        assert optimizer["name"] in (PAIRS[pair], f"vr_{pair}")
        variant = "base" if optimizer["name"] == PAIRS[pair] else "control" if optimizer["control"] else "VR"
        if not planned.labels["tuning"]:
            offered[pair, batch][variant].add((optimizer["lr"], tree["seed"]))
        same = {key: tree[key] for key in ("model", "dataset", "lr_schedule", "train")}
        shared[pair, batch].append(same | {"weight_decay": optimizer["weight_decay"]})
    assert sorted({batch for _, batch in offered}) == BATCHES[scale]
    assert {pair for pair, _ in offered} == set(PAIRS)
    for (pair, batch), sides in offered.items():
        assert sides["base"] == sides["VR"]
        assert len({seed for _, seed in sides["base"]}) >= 3
        assert len({lr for lr, _ in sides["base"]}) == 3
        assert sides["control"] == sides["base"]
        assert all(settings == shared[pair, batch][0] for settings in shared[pair, batch])
        assert shared[pair, batch][0]["train"]["groups"] == 8


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_what_chooses_learning_rates_has_seeds_of_its_own(scale: str) -> None:
    plans = planned_at(scale)
    tuning = [planned for planned in plans if planned.labels["tuning"]]
    others = [planned for planned in plans if not planned.labels["tuning"]]
    assert (len(others), len(tuning)) == RUNS[scale]
    assert {planned.tree["seed"] for planned in tuning} == {101, 102}
    assert {planned.tree["seed"] for planned in others} == SEEDS[scale]
    assert plans[: len(tuning)] == tuning, "they come first: before them there is nothing to compare"

    def place(planned: Planned) -> str:
        return repr({key: value for key, value in planned.tree.items() if key != "seed"})

    chosen = [place(planned) for planned in tuning]
    assert len(set(chosen)) == len(chosen) / 2  # each at both seeds
    assert set(chosen) <= {place(planned) for planned in others}
    untuned = [planned for planned in others if place(planned) not in set(chosen)]
    assert {planned.labels["part"] for planned in untuned} <= {"toy"}
    assert {planned.tree["optimizer"]["lr"] for planned in untuned} <= {0.2}


def test_the_judged_runs_are_those_of_before() -> None:
    """Their ids: a sweep from before there were tuning runs lacks only these."""
    ids = {planned.run_id for planned in planned_at("laptop") if not planned.labels["tuning"]}
    assert hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:12] == "fc25bbbd3085"


def test_the_network_is_the_recipes() -> None:
    """Read: 182 epochs, projection in every stage, standardised images, decay 0.997 per step, L2 on kernels alone.

    The model garden's `l2(2e-4)` is Keras's: 2e-4 |w|^2 in the loss, so 4e-4 w in the gradient, which is what torch's
    weight_decay names.
    """
    tree = planned_at("paper")[0].tree
    assert (tree["train"]["epochs"], tree["train"]["decay"], tree["optimizer"]["weight_decay"]) == (
        182,
        "weights",
        4e-4,
    )
    assert (tree["model"]["shortcut"], tree["dataset"]["standardize"], tree["lr_schedule"]["name"]) == (
        *("every_stage", True),
        "cosine",
    )
    assert (1 - tree["model"]["bn_momentum"]) ** tree["train"]["groups"] == pytest.approx(0.997, abs=1e-5)
    peaks = {p.tree["batch_schedule"]["size"]: p.tree["lr_schedule"]["peak"] for p in planned_at("paper")}
    assert all(peak == pytest.approx((size / 256) ** 0.5, rel=1e-4) for size, peak in peaks.items())


def test_the_toy_is_the_papers() -> None:
    toy = [p for p in planned_at("laptop") if p.labels["part"] == "toy"]
    for tree in (p.tree for p in toy):
        assert tree["dataset"]["samples"] == 100 * tree["batch_schedule"]["size"] == 204_800
        assert tree["model"]["bias"] is False
    assert {p.tree["optimizer"].get("upper") for p in toy} == {None, "one", "inverse", "none"}
