"""The scale between laptop and gpu: real CIFAR, thin ResNets, and every deviation from the papers said."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml
from shell import in_one_line

from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner.plan import reproduce
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import PaperPlan, plan
from batchlab.runner.plan.seeds import tunes
from batchlab.runner.sweep import freeze

IMAGES = {"sgdm_schedules": "cifar100", "vrgd": "cifar10", "adadagrad": "cifar10", "numerical_sgd": "cifar10"}
SUBSET = {"sgdm_schedules": 5_000}
RUNS = {"sgdm_schedules": (42, 14), "vrgd": (216, 72), "adadagrad": (54, 0), "numerical_sgd": (190, 76)}


@cache
def desk(paper: str) -> PaperPlan:
    return plan(paper, "desk")


@pytest.mark.parametrize("paper", IMAGES)
def test_a_thin_resnet_on_a_part_of_cifar(paper: str) -> None:
    made = desk(paper)
    assert (sum(not tunes(p) for p in made.plans), sum(map(tunes, made.plans))) == RUNS[paper]
    for planned in made.plans:
        dataset, model = planned.tree["dataset"], planned.tree["model"]
        assert (dataset["name"], dataset["subset"]) == (IMAGES[paper], SUBSET.get(paper, 10_000))
        assert (model["name"], model.get("width")) in {("resnet8", 8), ("cnn_cifar", None)}


@pytest.mark.parametrize("paper", IMAGES)
def test_all_that_is_compared_has_one_budget(paper: str) -> None:
    budgets = {
        str({key: p.tree["train"][key] for key in ("epochs", "samples", "micro_batch")}) for p in desk(paper).plans
    }
    assert len(budgets) == 1


def test_adadagrads_methods_of_an_experiment_differ_in_the_batch_alone() -> None:
    kept: dict[str, set[str]] = {}
    methods: Counter[tuple[str, str, str]] = Counter()
    for planned in desk("adadagrad").plans:
        labels, tree = planned.labels, planned.tree
        same = (tree["train"], tree["optimizer"], tree["lr_schedule"], tree["model"], tree["dataset"])
        kept.setdefault(labels["experiment"], set()).add(str(same))
        methods[labels["experiment"], labels["test"], labels["setting"]] += 1
        estimator = "groups" if labels["experiment"] != "ResNet-8, GroupNorm" else "per_sample"
        assert tree["batch_schedule"].get("estimator") in (None, estimator)
    assert {len(same) for same in kept.values()} == {1}
    assert (len(methods), set(methods.values())) == (18, {3})


def test_vrgds_sides_have_the_same_rates_as_at_full_length() -> None:
    def rates(plans: list[Planned]) -> set[tuple[str, float]]:
        return {(p.tree["optimizer"]["name"], p.tree["optimizer"]["lr"]) for p in plans}

    assert rates(desk("vrgd").plans) == rates(plan("vrgd", "gpu").plans)


def test_sgdms_first_evaluation_is_where_the_constant_batch_ends() -> None:
    """Case (ii) begins at 8: there it has taken as many steps as case (i) takes in all."""
    tree = desk("sgdm_schedules").plans[0].tree
    n, epochs = tree["dataset"]["subset"], int(tree["train"]["epochs"])
    steps = epochs * -(-n // 128)
    assert steps * 8 / n == pytest.approx(tree["log"]["evaluate_every"], abs=1e-3)


def test_seeds_are_added_in_looks_and_the_deviations_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = {
        "desk": {
            "common": ["dataset=digits", "seed=range(0,3)"],
            "grids": [{"labels": {"pair": "momentum"}}],
            "max_seeds": 8,
            "deviations": ["digits for CIFAR"],
        }
    }
    (tmp_path / "reproduce").mkdir()
    (tmp_path / "reproduce" / "vrgd.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setattr(reproduce, "PACKAGED", tmp_path)
    made = plan("vrgd", "desk")
    assert (made.max_seeds, list(made.deviations)) == (8, ["desk scale: digits for CIFAR"])
    words = ("reproduce", "vrgd", "--scale", "desk", "--dry-run", "--runs", str(tmp_path / "runs"))
    code, said = in_one_line(*words, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "looks at 3, 5, 8 seeds" in said) == (0, True)
    code, said = in_one_line(*words, "--until-decided", "--max-seeds", "5", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "looks at 3, 5 seeds" in said) == (0, True)

    store = RunStore(tmp_path / "runs").prepare()
    freeze(store, "vrgd-desk", made.plans, notes=made.deviations)
    assert store.sweep("vrgd-desk").notes == ["desk scale: digits for CIFAR"]
    store.forget({made.plans[0].run_id})
    assert store.sweep("vrgd-desk").notes == ["desk scale: digits for CIFAR"], "a sweep that lost a run keeps them"
    store.write_sweep("mine", [SweepEntry("a")])
    assert "notes" not in store.sweep("mine").as_json()


@pytest.mark.parametrize("paper", [*IMAGES, "dasvrda"])
def test_every_deviation_fits_under_a_table(paper: str) -> None:
    deviations = desk(paper).deviations
    assert len(deviations) >= 2
    assert all(line.startswith("desk scale: ") and "\n" not in line and len(line) < 260 for line in deviations)
