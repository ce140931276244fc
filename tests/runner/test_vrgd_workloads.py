"""The text and the clicks of `reproduce vrgd`: both sides have the same choices, and the claims compute."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from runs import trained

from batchlab.results.compare.load import load
from batchlab.results.papers.catalogue import build
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import plan
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.sweep import freeze

BASES = {"adam": "adam", "lamb": "lamb", "sgd": "sgd"}
BATCHES = {"text": [32, 256, 2048], "clicks": [128, 512, 2048]}


@pytest.fixture(scope="module")
def plans() -> list[Planned]:
    return [planned for planned in plan("vrgd", "laptop").plans if planned.labels["part"] in BATCHES]


@pytest.mark.slow
def test_both_sides_have_the_same_choices(plans: list[Planned]) -> None:
    validate(plans)
    offered = defaultdict(lambda: defaultdict(set))
    shared = defaultdict(set)
    for planned in plans:
        tree, part, pair = planned.tree, planned.labels["part"], planned.labels["pair"]
        name, size = tree["optimizer"]["name"], tree["batch_schedule"]["size"]
        assert name in (BASES[pair], f"vr_{pair}")
        assert tree["train"]["groups"] == (1 if name == BASES[pair] else 8)
        variant = (name, tree["optimizer"].get("control", False))
        offered[part, pair, size][variant].add((tree["optimizer"]["lr"], tree["seed"], planned.labels["tuning"]))
        same = {key: tree[key] for key in ("model", "dataset", "lr_schedule", "measure")}
        shared[part].add(str(same | {"epochs": tree["train"]["epochs"]}))
    assert {(part, pair) for part, pair, _ in offered} == {("text", "adam"), ("text", "lamb"), ("clicks", "sgd")}
    for (part, pair, size), sides in offered.items():
        assert size in BATCHES[part]
        assert len(sides) == (3 if pair == "sgd" else 2), "the control is there where a base feels a factor"
        first = sides[BASES[pair], False]
        assert all(side == first for side in sides.values())
        assert len({lr for lr, _, _ in first}) == 3
        assert {seed for _, seed, tuning in first if tuning} == {101, 102}
        assert {seed for _, seed, tuning in first if not tuning} == {0, 1, 2}
    assert all(len(settings) == 1 for settings in shared.values())


@pytest.mark.slow
def test_no_other_scale_has_them() -> None:
    for scale in ("gpu", "paper"):
        assert {planned.labels["part"] for planned in plan("vrgd", scale).plans} == {"network"}


@pytest.mark.slow
def test_claims_on_a_tiny_budget(plans: list[Planned], tmp_path: Path) -> None:
    """A few samples each: no verdict is meant, but each claim has its runs, its numbers and its seeds."""
    store = RunStore(tmp_path)
    middle = {
        ("text", 32): (0.01, 0.033),
        ("text", 2048): (0.033, 0.33),
        ("clicks", 128): (1.0,),
        ("clicks", 2048): (1.0,),
    }

    def chosen(planned: Planned) -> bool:
        place = planned.labels["part"], planned.tree["batch_schedule"]["size"]
        return planned.tree["optimizer"]["lr"] in middle.get(place, ()) and planned.tree["seed"] in (0, 1, 101)

    kept = [planned for planned in plans if chosen(planned)]
    freeze(store, "tiny", kept)
    for planned in kept:
        tree = yaml.safe_load(yaml.safe_dump(planned.tree))
        tree["train"] |= {"samples": 2048, "device": "cpu"}
        assert trained(store.run(planned.run_id), RunConfig.of(tree)) == "done"
    made = build("vrgd", load(store, "tiny"))
    found = {item.claim.text: item for item in made.claims if item.group in BATCHES}
    assert set(found) == {
        "VR helps a small transformer more the larger the batch",
        "VR-Adam beats Adam on a small transformer (over all batch sizes)",
        "VR-LAMB beats LAMB on a small transformer (over all batch sizes)",
        "VR helps a small DLRM more the larger the batch",
        "VR-SGD beats SGD on a small DLRM (over all batch sizes)",
        "VR-SGD is more than 1 point away from its control on a small DLRM, at some batch",
    }
    for text, item in found.items():
        assert item.tested, (text, item.reason)
        assert item.seeds == 2
    titles = [sheet.title for sheet in made.sheets()]
    assert "Clicks (a small DLRM): test AUC [%] by batch size, each at its best learning rate" in titles
    assert any("perplexity" in title for title in titles)
