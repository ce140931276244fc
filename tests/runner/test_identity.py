"""run_id: the same for every way of saying the same run, another for everything that changes a number."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.results.axes import NEUTRAL, within
from batchlab.results.legacy import SWITCHES, upgraded
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.identity import run_id
from batchlab.runner.plan.overrides import dotted
from batchlab.runner.plan.schema import RunConfig

KEYS = st.text("abcdefgh_", min_size=1, max_size=5)
LEAVES = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, width=32) | st.text("xyz", max_size=3)
)
TREES = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
)


def reversed_keys(node: Any) -> Any:
    """The same tree, every mapping in the opposite order."""
    if isinstance(node, dict):
        return {key: reversed_keys(node[key]) for key in reversed(node)}
    return [reversed_keys(item) for item in node] if isinstance(node, list) else node


def whole_as_float(node: Any) -> Any:
    """The same tree, every whole number written as a float."""
    if isinstance(node, dict):
        return {key: whole_as_float(value) for key, value in node.items()}
    if isinstance(node, list):
        return [whole_as_float(item) for item in node]
    return float(node) if type(node) is int else node


@pytest.mark.parametrize(
    "same", [reversed_keys, whole_as_float, lambda t: yaml.safe_load(yaml.safe_dump(t))], ids=["order", "1.0", "yaml"]
)
@settings(max_examples=40)
@given(tree=TREES)
def test_invariant_under_spelling(same: Callable[[Any], Any], tree: dict[str, Any]) -> None:
    assert run_id(same(tree)) == run_id(tree)


@settings(max_examples=60)
@given(tree=TREES, data=st.data())
def test_changes_with_any_leaf(tree: dict[str, Any], data: st.DataObject) -> None:
    tree["seed"] = 0
    key = data.draw(st.sampled_from([k for k, _ in dotted(tree)]))
    other, place = copy.deepcopy(tree), None
    *path, last = key.split(".")
    place = other
    for part in path:
        place = place[part]
    before = place[last]
    place[last] = data.draw(LEAVES.filter(lambda v: (v, type(v) is bool) != (before, type(before) is bool)))
    assert run_id(other) != run_id(tree)


def test_true_is_not_one() -> None:
    assert run_id({"a": True}) != run_id({"a": 1})
    assert run_id({"a": "1"}) != run_id({"a": 1})
    assert run_id({"a": None}) != run_id({})


def ids(*overrides: str) -> set[str]:
    """The identities of a sweep."""
    return {planned.run_id for planned in compose(overrides)}


def test_defaults_written_out_and_order_of_overrides() -> None:
    plain = ids("optimizer.lr=0.5")
    assert plain == ids("seed=0", "optimizer=shb", "optimizer.momentum=0.9", "optimizer.lr=0.5")
    assert plain == ids("optimizer.lr=5e-1", "optimizer=shb", "train.epochs=10")
    assert ids("seed=1,2", "optimizer=adam,shb") == ids("optimizer=shb,adam", "seed=2,1")


def test_what_cannot_change_a_number_does_not_matter() -> None:
    free = ids("dataset.root=/elsewhere", "executor.threads=2", "train.checkpoint_seconds=1", "train.device=cpu")
    assert free == ids() == ids("executor=slurm")


def test_every_other_key_matters() -> None:
    (base,) = compose([])
    for key, value in dotted(base.tree):
        if within(key, NEUTRAL):
            continue
        tree = copy.deepcopy(base.tree)
        place = tree
        *path, last = key.split(".")
        for part in path:
            place = place[part]
        place[last] = not value if isinstance(value, bool) else f"{value}x"
        assert run_id(tree) != base.run_id, key


def test_frozen_identity() -> None:
    """Identities on disk must not change from version to version: if this fails, runs of today are orphaned."""
    assert run_id({"b": 1, "a": {"x": 0.1, "y": [1, None, True, "s"]}}) == "6247ebf0a551"


FROZEN = {
    "": ["4c9f08b3aa6e"],
    "optimizer=adam,sgd lr_schedule=cosine seed=0,1": ["b75fb3046339", "7a1f12a04ffc", "42338c2cc2a4", "1e29efef8932"],
    "log.full_gradient_norm=true log.gsnr=true optimizer=vr_momentum train.groups=8": ["b2627ff0a3ce"],
    "log.train_accuracy=true": ["28f5c8abbda2"],
    "experiment=vrgd_toy optimizer=vr_sgd": ["60704b3d342d"],
    "experiment=vrgd_cifar10": ["0a2e55a5b851"],  # not 0.1's: its weight decay was half of the recipe's
    "dataset=mnist model=cnn_mnist": ["70838a317960"],
    "dataset=breast_cancer model=logistic optimizer=dasvrda": ["3e5a4ec76e55"],
    "log.parameters=true log.batchnorm_reestimated=true": ["7615d08a64f7"],
    "dataset=cifar100 model=resnet18 batch_schedule=norm_test": ["4db15d4fca40"],
    "lr_schedule=warmup_cosine train.epochs=300 lr_schedule.warmup=30 lr_schedule.warmup_every=3": ["0a373a982802"],
}
"""Identities that batchlab 0.1 gave, when what is measured was said in the `log` block."""


@pytest.mark.parametrize("overrides", FROZEN)
def test_identities_of_0_1(overrides: str) -> None:
    assert [planned.run_id for planned in compose(overrides.split())] == FROZEN[overrides]


@pytest.mark.parametrize("axis", ["warmup_constant", "warmup_cosine"])
def test_stairs_matter_where_they_are_climbed(axis: str) -> None:
    asked = f"lr_schedule={axis}"
    for nothing in ("lr_schedule.warmup_stairs=null", "lr_schedule.warmup_every=0.5"):
        (planned,) = compose([asked, nothing])
        rates = {key: value for key, value in planned.tree["lr_schedule"].items() if key != "warmup_stairs"}
        assert run_id(planned.tree | {"lr_schedule": rates}) == planned.run_id, nothing
    counts = ids(asked, "lr_schedule.warmup_stairs=null,2,5,10")
    assert len(counts) == 4
    assert ids(asked) < counts


def old(tree: dict[str, Any], *switches: str) -> dict[str, Any]:
    """The configuration as 0.1 froze it."""
    log = tree["log"] | {name: name in switches for name in SWITCHES}
    return {key: value for key, value in tree.items() if key != "measure"} | {"log": log}


def test_a_frozen_file_of_0_1_is_the_same_run() -> None:
    (now,) = compose(["+measure=[gsnr,train_accuracy]"])
    before = old(now.tree, "gsnr", "train_accuracy")
    assert run_id(before) == now.run_id
    today = upgraded(before)
    assert run_id(today) == now.run_id
    assert set(today["measure"]) == set(now.tree["measure"])
    config = RunConfig.of(today)
    assert (config.log, config.measure.keys()) == (RunConfig.of(now.tree).log, now.tree["measure"].keys())
    assert upgraded(today) is today


def test_measures_of_ones_own_and_their_keys_matter() -> None:
    (plain,), (none,) = compose([]), compose(["measure=[]"])
    own = copy.deepcopy(plain.tree)
    own["measure"]["mine"] = {"name": "mine", "_target_": "my.Measure"}
    changed = copy.deepcopy(own)
    changed["measure"]["mine"]["bins"] = 3
    shuffled = own | {"measure": dict(reversed(own["measure"].items()))}
    assert len({run_id(tree) for tree in (plain.tree, none.tree, own, changed)}) == 4
    assert run_id(shuffled) == run_id(own)
