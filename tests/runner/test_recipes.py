"""What a recipe may say: a scale states what differs from another, settings lie in settings, rates are shares."""

from __future__ import annotations

from typing import Any

import pytest

from batchlab.results.papers.literature import published
from batchlab.runner.plan.reproduce import plan, plans_of, whole
from batchlab.runner.plan.schema import ConfigError

GRIDS = [
    {"labels": {"rate": "low"}, "overrides": ["optimizer.lr=0.1"]},
    {"labels": {"rate": "high"}, "overrides": ["optimizer.lr=0.9"]},
]
BASE: dict[str, Any] = {"common": ["optimizer=sgd", "train.epochs=2", "seed=0"], "grids": GRIDS}


def said(scale: dict[str, Any], *keys: str) -> list[Any]:
    """Labels of each run, and what it has at the keys."""
    found = []
    for planned in plans_of(scale, "numerical_sgd"):
        values = []
        for key in keys:
            block, _, last = key.rpartition(".")
            values.append(planned.tree[block][last] if block else planned.tree[last])
        found.append((planned.labels, *values))
    return found


def test_a_scale_states_what_differs() -> None:
    content = {
        "gpu": BASE,
        "paper": {"from": "gpu", "common": ["train.epochs=3", "seed=1"]},
        "laptop": {"from": "paper", "common": ["seed=5"], "only": {"rate": ["high"]}},
        "other": {"from": "gpu", "grids": GRIDS[:1]},
    }
    assert whole(content, "gpu") == BASE
    assert said(whole(content, "paper"), "train.epochs", "seed") == [({"rate": "low"}, 3, 1), ({"rate": "high"}, 3, 1)]
    assert said(whole(content, "laptop"), "train.epochs", "seed") == [({"rate": "high"}, 3, 5)]
    assert said(whole(content, "other"), "train.epochs", "seed") == [({"rate": "low"}, 2, 0)]
    assert content["gpu"] == BASE, "nothing is changed in place"


def test_settings_lie_in_settings_and_the_inner_one_prevails() -> None:
    scale = {
        "common": ["optimizer=sgd", "seed=0"],
        "labels": {"part": "net"},
        "settings": [
            {
                "labels": {"pair": "a"},
                "overrides": ["train.epochs=2"],
                "grids": GRIDS[:1],
                "settings": [
                    {"labels": {"inner": 1}},
                    {"labels": {"inner": 2}, "overrides": ["train.epochs=3"], "grids": GRIDS[1:]},
                    {"labels": {"inner": 3}, "needs": "no such data set"},
                ],
            },
            {"labels": {"pair": "b"}, "overrides": ["train.epochs=9"]},
        ],
    }
    assert said(scale, "train.epochs", "optimizer.lr") == [
        ({"part": "net", "pair": "a", "inner": 1, "rate": "low"}, 2, 0.1),
        ({"part": "net", "pair": "a", "inner": 2, "rate": "low"}, 3, 0.1),
        ({"part": "net", "pair": "a", "inner": 2, "rate": "high"}, 3, 0.9),
        ({"part": "net", "pair": "b"}, 9, 0.1),  # optimizer=sgd's own
    ]


def test_shares_are_of_the_published_limit_over_the_curvature() -> None:
    limits = {row.method: row.value for row in published("numerical_sgd") if row.metric == "stability_limit"}
    scale = {
        "common": ["seed=0"],
        "labels": {"curvature": 3.0},
        "shares": ["1/4", 1],
        "grids": [
            {"labels": {"scheme": "Euler (SGD)"}, "overrides": ["optimizer=sgd"]},
            {"labels": {"scheme": "RK4"}, "overrides": ["optimizer=rk4"], "shares": [0.9]},
        ],
    }
    assert [(labels["scheme"], labels["share"], lr) for labels, lr in said(scale, "optimizer.lr")] == [
        ("Euler (SGD)", 0.25, 0.166667),
        ("Euler (SGD)", 1.0, 0.666667),
        ("RK4", 0.9, float(f"{0.9 * limits['RK4'] / 3:.6g}")),
    ]
    carried = said({**scale, "rounded_at": 0.7}, "optimizer.lr")
    assert carried[0][1] == float(f"{0.714286 * 0.7 / 3:.6g}") == pytest.approx(0.166667, rel=1e-5)


def test_a_grid_that_does_not_compose_is_named() -> None:
    with pytest.raises(ConfigError, match=r"numerical_sgd, grid \{'rate': 'low'\}: .*no key train\.speed"):
        plans_of({**BASE, "common": ["train.speed=9"]}, "numerical_sgd")


@pytest.mark.slow
def test_the_published_schedules_are_the_gpus_in_300_epochs() -> None:
    gpu, paper = ([(p.labels, p.tree) for p in plan("sgdm_schedules", scale).plans] for scale in ("gpu", "paper"))
    assert {(tree["train"]["epochs"], tree["log"]["evaluations"]) for _, tree in paper} == {(300, 30)}
    tenth = {"epochs": 30.0}, {"evaluations": 12}
    shortened = [tree | {"train": tree["train"] | tenth[0], "log": tree["log"] | tenth[1]} for _, tree in paper]
    assert list(zip([labels for labels, _ in paper], shortened, strict=True)) == gpu


@pytest.mark.slow
def test_evaluations_of_the_schedules_are_few_enough_that_half_of_a_run_trains() -> None:
    """Each of two gradient norms is a pass over the training set, forward and backward, as an epoch is."""
    for scale in ("laptop", "gpu", "paper"):
        for planned in plan("sgdm_schedules", scale).plans:
            assert {"full_gradient_norm", "full_gradient_norm_paper"} < planned.tree["measure"].keys()
            assert 2 * planned.tree["log"]["evaluations"] <= planned.tree["train"]["epochs"]
