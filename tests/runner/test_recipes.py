"""What a recipe may say: a scale states what differs from another, settings lie in settings, rates are shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from shell import in_one_line

from batchlab.results.papers.literature import published
from batchlab.runner.plan import reproduce
from batchlab.runner.plan.reproduce import plan, plans_of, whole
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

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


def test_what_is_not_at_hand_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file is looked for beside the user and in the data root, as its reader looks for it."""
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf"
    (folder / "reproduce").mkdir(parents=True)
    recipe = {
        "paper": {
            **BASE,
            "settings": [
                {"labels": {"own": False}},
                {"needs": "own.npz", "labels": {"own": True}, "overrides": ["train.epochs=3"]},
            ],
        }
    }
    (folder / "reproduce" / "vrgd.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setattr(reproduce, "PACKAGED", folder)
    found = plan("vrgd", "paper")
    assert ([planned.labels["own"] for planned in found.plans], found.lacking) == ([False, False], ["own.npz"])
    words = ("reproduce", "vrgd", "--scale", "paper", "--dry-run", "--runs", str(tmp_path / "runs"))
    code, said = in_one_line(*words, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "left out at scale paper, as it is not in the data root: own.npz" in said
    (tmp_path / "own.npz").touch()
    found = plan("vrgd", "paper")
    assert ([planned.labels["own"] for planned in found.plans], found.lacking) == ([False, False, True, True], [])


@pytest.mark.slow
def test_the_published_schedules_are_the_gpus_in_300_epochs() -> None:
    gpu, paper = ([(p.labels, p.tree) for p in plan("sgdm_schedules", scale).plans] for scale in ("gpu", "paper"))
    cases = [(labels, tree) for labels, tree in paper if "part" not in labels]
    assert {(tree["train"]["epochs"], tree["log"]["evaluations"]) for _, tree in cases} == {(300, 30)}
    tenth = {"epochs": 30.0}, {"evaluations": 12}
    shortened = [tree | {"train": tree["train"] | tenth[0], "log": tree["log"] | tenth[1]} for _, tree in cases]
    assert list(zip([labels for labels, _ in cases], shortened, strict=True)) == gpu


@pytest.mark.slow
def test_the_published_scale_has_the_other_optimizers_and_tiny_imagenet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the configurations in the authors' repository have them: optimizer, case, schedule, batches, rates."""
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert plan("sgdm_schedules", "paper").lacking == ["tiny_imagenet.npz"]
    (tmp_path / "tiny_imagenet.npz").touch()
    found = [p for p in plan("sgdm_schedules", "paper").plans if "part" in p.labels and p.tree["seed"] == 0]
    assert validate(found, data_at_hand=False) == []
    shown: dict[str, set[tuple[Any, ...]]] = {}
    for p in found:
        optimizer, batch, lr = p.tree["optimizer"], p.tree["batch_schedule"], p.tree["lr_schedule"]
        data, network, length = p.tree["dataset"]["name"], p.tree["model"]["name"], p.tree["train"]["epochs"]
        first = batch.get("size", batch.get("initial", batch.get("sizes")))
        batches = batch["name"], str(first), batch.get("maximum")
        rate = optimizer["lr"], optimizer["lr"] * lr.get("maximum", lr["peak"]), optimizer.get("momentum")
        key = f"{p.labels['part']}: {data}, {network}, {length:g}"
        shown.setdefault(key, set()).add((optimizer["name"], p.labels["case"], lr["name"], batches, rate))
    growing, capped = ("exponential", "8", None), ("exponential_capped", "8", 1024)
    constant = ("constant", "128", None)
    gsam = {
        ("sgd", "constant batch", "constant", constant, (0.1, 0.1, None)),
        ("sgd", "constant batch", "cosine", constant, (0.1, 0.1, None)),
        ("sgd", "growing batch", "constant", ("stagewise", "[16, 32, 64, 128, 256]", None), (0.1, 0.1, None)),
    }
    assert shown == {
        "other optimizers: cifar100, resnet18, 300": {
            ("sgd", "iv", "warmup_constant", growing, (0.1, 1.0, None)),
            ("adam", "ii", "constant", growing, (0.001, 0.001, None)),
            ("adamw", "ii", "constant", growing, (0.001, 0.001, None)),
            ("rmsprop", "ii", "constant", growing, (0.01, 0.01, 0.0)),
        },
        "as in the GSAM paper: cifar100, resnet18, 200": gsam,
        "as in the GSAM paper: cifar100, wrn28_10, 200": gsam,
        "Tiny ImageNet: npz, resnet18, 300": {
            ("nshb", "i", "polynomial", constant, (0.1, 0.1, 0.9)),
            ("nshb", "ii", "constant", capped, (0.1, 0.1, 0.9)),
            ("nshb", "ii", "diminishing", capped, (0.1, 0.1, 0.9)),
            ("nshb", "iii", "growth", capped, (0.1, 1.0, 0.87)),
            ("nshb", "iv", "warmup_constant", capped, (0.1, 0.5, 0.9)),
            ("nshb", "iv", "warmup_constant", capped, (0.1, 1.0, 0.87)),
        },
    }


@pytest.mark.slow
def test_evaluations_of_the_schedules_are_few_enough_that_half_of_a_run_trains() -> None:
    """Each of two gradient norms is a pass over the training set, forward and backward, as an epoch is."""
    for scale in ("laptop", "gpu", "paper"):
        for planned in plan("sgdm_schedules", scale).plans:
            assert {"full_gradient_norm", "full_gradient_norm_paper"} < planned.tree["measure"].keys()
            assert 2 * planned.tree["log"]["evaluations"] <= planned.tree["train"]["epochs"]


def test_runs_that_are_compared_by_time_keep_a_process_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Unless somebody says how many may share one; a recipe asks for it, or not."""
    content = {"laptop": BASE | {"common": ["optimizer=sgd", "dataset=digits", "model=mlp", "seed=range(0,9)"]}}
    monkeypatch.setattr(reproduce, "_content", lambda paper: content)
    for apart, fuse, said in (
        (False, (), "in 2 groups"),
        (True, (), "18 alone"),
        (True, ("--fuse", "9"), "in 2 groups"),
    ):
        content["apart"] = apart
        asked = ("reproduce", "numerical_sgd", "--dry-run", "--runs", str(tmp_path), *fuse)
        code, out = in_one_line(*asked, monkeypatch=monkeypatch, capfd=capfd)
        assert (code, said in out) == (0, True), out
