"""DASVRDA's reproduction: scales that compose, the data at hand, every method on the same terms."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from batchlab.results.papers.catalogue import reproduce
from batchlab.results.papers.dasvrda import ABOUT, ALONE, CLAIMED, SHARES
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan import reproduce as planning
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import absent, plan
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.sweep import freeze
from batchlab.runner.train import tuned

SAMPLES = {"a9a": 32_561, "w8a": 49_749, "breast_cancer": 456, "rcv1": 20_242, "sido0": 12_678}
REGULARIZERS = {"(1e-4, 0)": (1e-4, 0.0), "(1e-4, 1e-6)": (1e-4, 1e-6), "(0, 1e-6)": (0.0, 1e-6)}


@cache
def plans(*ready: str, scale: str = "laptop") -> list[Planned]:
    """The runs where these data sets are at hand, and the bundled ones."""
    entries = [
        dataclasses.replace(e, ready=e.ready if e.name not in ("a9a", "w8a") else e.name in ready)
        for e in planning.available()
    ]
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as root:
        if scale == "paper":  # as if the user had put the two there
            (Path(root) / "libsvm").mkdir()
            for name in ("rcv1_train.binary", "sido0"):
                (Path(root) / "libsvm" / name).touch()
        patch.setenv("BATCHLAB_DATA", root)
        patch.setattr(planning, "available", lambda: entries)
        return plan("dasvrda", scale).plans


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        ((), {"breast_cancer"}),
        (("a9a",), {"a9a"}),
        (("a9a", "w8a"), {"a9a", "w8a"}),
    ],
)
def test_the_data_at_hand(ready: tuple[str, ...], expected: set[str]) -> None:
    found = plans(*ready)
    assert {p.labels["data"] for p in found} == expected
    assert {p.tree["dataset"]["name"] for p in found} == expected


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_every_method_on_the_same_terms(scale: str) -> None:
    found = plans("a9a", "w8a") + plans() if scale == "laptop" else plans(scale=scale)
    counts: Counter[tuple[Any, ...]] = Counter()
    for p in found:
        data, net, method, root = (p.labels[key] for key in ("data", "regularizer", "method", "root"))
        tree, size = p.tree, p.tree["batch_schedule"]["size"]
        assert (tree["optimizer"]["l1"], tree["optimizer"]["l2"]) == REGULARIZERS[net]
        assert tree["optimizer"]["step_size"] == "tuned"
        assert tree["seed"] != tuned.SEED, "judged on the seed that tuned"
        assert abs(root / math.sqrt(SAMPLES[data]) - 1) < 0.05
        assert tree["train"]["epochs"] == (1000 if data == "breast_cancer" else 100)
        if method == ALONE:
            assert size == 1
        else:
            assert any(abs(size / root / share - 1) <= ABOUT for share in SHARES)
        counts[data, net, method, size] += 1
    for (data, net, method, size), n in counts.items():
        seeds = 1 if method == "FISTA" else 5 if net == CLAIMED else 3
        assert n == seeds, (data, net, method, size)
    for data in {data for data, *_ in counts}:
        for net in REGULARIZERS:
            methods = {m for d, r, m, _ in counts if (d, r) == (data, net)}
            assert len(methods) == (9 if net == CLAIMED else 8)
        batches = {size for d, r, m, size in counts if (d, r, m) == (data, CLAIMED, "DASVRDA")}
        assert len(batches) == len(SHARES)


def test_the_published_batches() -> None:
    found = plans(scale="paper")
    assert {(p.labels["data"], p.labels["root"]) for p in found} == {("a9a", 180), ("rcv1", 140), ("sido0", 110)}


def test_seed_by_seed() -> None:
    seeds = [p.tree["seed"] for p in plans("a9a", "w8a")]
    assert seeds == sorted(seeds)


def test_it_validates() -> None:
    assert validate(plans()) == []
    assert validate(plans(scale="paper"), data_at_hand=False) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("l1", -1.0, "l1 must be"), ("step_size", "best", "step_size=best"), ("strong_convexity", 0.0, "convexity > 0")],
)
def test_it_would_not_validate_with_a_wrong_setting(key: str, value: object, message: str) -> None:
    wrong = next(p for p in plans(scale="paper") if p.tree["optimizer"]["name"] == "acc_prox_svrg")
    tree = wrong.tree | {"optimizer": wrong.tree["optimizer"] | {key: value}}
    with pytest.raises(ConfigError, match=message):
        validate([dataclasses.replace(wrong, tree=tree)], data_at_hand=False)


def test_there_is_nothing_for_a_gpu() -> None:
    assert "on the host" in absent("dasvrda", "gpu")
    with pytest.raises(ConfigError, match="on the host"):
        plan("dasvrda", "gpu")


def test_its_module_takes_runs_that_have_not_begun(tmp_path: Path) -> None:
    store = RunStore(tmp_path).prepare()
    freeze(store, "dasvrda-laptop", plans("a9a"))
    made = reproduce(store, "dasvrda", "dasvrda-laptop")
    assert made.claims
    assert {judged.verdict for judged in made.claims} == {"not decided"}
    assert made.save_plots(tmp_path) == []
