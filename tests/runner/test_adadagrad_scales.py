"""AdAdaGrad's three scales compose and would run; `settings` repeat grids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from batchlab.runner.plan.reproduce import PaperPlan, plan, plans_of
from batchlab.runner.plan.validate import validate


@pytest.fixture(scope="module", params=["laptop", "gpu", "paper"])
def scale(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperPlan]:
    """A scale where only the bundled data is at hand; composing takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHLAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield plan("adadagrad", request.param)


def test_it_composes_and_validates(scale: PaperPlan) -> None:
    assert validate(scale.plans, data_at_hand=scale.scale == "laptop") == []
    assert {planned.tree["dataset"]["name"] for planned in scale.plans} == {
        "laptop": {"digits"}, "gpu": {"cifar10"}, "paper": {"mnist", "cifar10", "cifar100"}
    }[scale.scale]  # fmt: skip


def test_all_methods_of_an_experiment_have_the_same_budget_rate_and_seeds(scale: PaperPlan) -> None:
    experiments: dict[tuple[str, str], set[str]] = {}
    methods: Counter[tuple[str, ...]] = Counter()
    for planned in scale.plans:
        labels, tree = planned.labels, planned.tree
        assert set(labels) == {"experiment", "test", "setting", "role"}
        shared = (tree["train"], tree["optimizer"], tree["lr_schedule"], tree["model"], tree["dataset"])
        experiments.setdefault((labels["experiment"], tree["optimizer"]["name"]), set()).add(str(shared))
        methods[labels["experiment"], tree["optimizer"]["name"], labels["test"], labels["setting"]] += 1
    assert all(len(shared) == 1 for shared in experiments.values())
    assert set(methods.values()) == {4 if scale.scale == "laptop" else 3}
    for experiment in {planned.labels["experiment"] for planned in scale.plans}:
        roles = {planned.labels["role"] for planned in scale.plans if planned.labels["experiment"] == experiment}
        assert {"small", "large", "ramp"} < roles


def test_batchnorm_is_measured_by_groups_and_the_rest_exactly(scale: PaperPlan) -> None:
    for planned in scale.plans:
        schedule, model = planned.tree["batch_schedule"], planned.tree["model"]
        if "estimator" in schedule:
            by_groups = model.get("norm") == "batch"
            assert schedule["estimator"] == ("groups" if by_groups else "per_sample")
            assert (planned.tree["train"]["groups"] > 1) == by_groups


def test_settings_repeat_grids_and_add_their_own() -> None:
    chosen = {
        "common": ["seed=0,1", "optimizer=adagrad"],
        "grids": [{"labels": {"b": "8"}, "overrides": ["batch_schedule.size=8"]}],
        "settings": [
            {"labels": {"model": "mlp"}, "overrides": ["model=mlp"]},
            {
                "labels": {"model": "linear"},
                "overrides": ["model=logistic", "optimizer=adam"],
                "grids": [{"labels": {"b": "own"}, "overrides": ["batch_schedule.size=4", "optimizer=sgd"]}],
            },
        ],
    }
    found = [
        (p.labels, p.tree["model"]["name"], p.tree["optimizer"]["name"], p.tree["batch_schedule"]["size"])
        for p in plans_of(chosen, "some paper")
        if p.tree["seed"] == 1
    ]
    assert found == [
        ({"model": "mlp", "b": "8"}, "mlp", "adagrad", 8),
        ({"model": "linear", "b": "8"}, "logistic", "adam", 8),
        ({"model": "linear", "b": "own"}, "logistic", "sgd", 4),
    ]
