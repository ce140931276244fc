"""The integrators' reproduction: scales that compose, grids where they are said to lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from batchlab.datasets.tabular import breast_cancer, linear_regression
from batchlab.results.papers.catalogue import reproduce
from batchlab.results.papers.literature import published
from batchlab.results.papers.numerical_sgd import LOSS, SCHEMES
from batchlab.results.store.runs import RunStore
from batchlab.runner import reproduction
from batchlab.runner.display import title
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import PaperPlan, absent, plan
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.sweep import freeze

CONVEX = ("quadratic", "quadratic, 100 dimensions", "logistic")
LIMITS = {row.method: row.value for row in published("numerical_sgd") if row.metric == "stability_limit"}


@pytest.fixture(scope="module", params=["laptop", "gpu"])
def scale(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperPlan]:
    """A scale where only the bundled data is at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHLAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield plan("numerical_sgd", request.param)


def by_scheme(scale: PaperPlan) -> dict[tuple[str, str], list[Planned]]:
    """(problem, scheme) -> runs."""
    found: dict[tuple[str, str], list[Planned]] = {}
    for planned in scale.plans:
        found.setdefault((planned.labels["problem"], planned.labels["scheme"]), []).append(planned)
    return found


def test_it_composes_and_validates(scale: PaperPlan) -> None:
    assert validate(scale.plans, data_at_hand=scale.scale == "laptop") == []
    problems = {"laptop": [*CONVEX, "resnet8"], "gpu": ["resnet18"]}[scale.scale]
    assert {*by_scheme(scale)} == {(problem, scheme) for problem in problems for scheme in SCHEMES.values()}
    assert all(SCHEMES[planned.tree["optimizer"]["name"]] == planned.labels["scheme"] for planned in scale.plans)


def test_the_interpretation_is_labelled_while_it_runs(scale: PaperPlan) -> None:
    named = [title(planned) for planned in scale.plans if planned.tree["optimizer"]["name"] == "taylor"]
    assert named
    assert all("Taylor 4-instant (our interpretation)" in name for name in named)


def test_schemes_differ_in_the_optimizer_alone_and_five_seeds_are_judged(scale: PaperPlan) -> None:
    shared: dict[str, set[str]] = {}
    for (problem, _), plans in by_scheme(scale).items():
        rest = {str({k: v for k, v in p.tree.items() if k not in ("optimizer", "seed")}) for p in plans}
        shared.setdefault(problem, set()).update(rest)
        rates = {p.tree["optimizer"]["lr"] for p in plans}
        assert {(p.tree["optimizer"]["lr"], p.tree["seed"]) for p in plans} == {(r, s) for r in rates for s in range(7)}
        assert all(p.tree["optimizer"].get("weight_decay", 0) == 0 for p in plans)
    assert all(len(rest) == 1 for rest in shared.values())


def test_grids_are_shares_of_each_schemes_own_limit(scale: PaperPlan) -> None:
    momentum = {SCHEMES["shb"], SCHEMES["nesterov"]}
    grids: dict[tuple[str, bool], set[tuple[float, ...]]] = {}
    for (problem, scheme), plans in by_scheme(scale).items():
        unit = LIMITS[scheme] / plans[0].labels["curvature"]
        for p in plans:
            lr = p.tree["optimizer"]["lr"]
            assert lr == pytest.approx(p.labels["share"] * unit, rel=1e-5)
            assert lr == float(f"{lr:.6g}")
        shares = tuple(sorted({p.labels["share"] for p in plans}))
        grids.setdefault((problem, scheme in momentum), set()).add(shares)
        assert shares[-1] >= (0.9 if scheme not in momentum else 1), "it reaches the limit"
    assert all(len(shares) == 1 for shares in grids.values())


@pytest.mark.slow
def test_rates_are_what_they_were_when_they_stood_in_the_recipe() -> None:
    """To the last digit, or every run would be another."""
    found: dict[tuple[str, str], list[float]] = {}
    for planned in plan("numerical_sgd", "laptop").plans:
        if planned.tree["seed"] == 0:
            place = (planned.labels["problem"], planned.tree["optimizer"]["name"])
            found.setdefault(place, []).append(planned.tree["optimizer"]["lr"])
    assert found["quadratic", "ab3"] == [0.0192118, 0.0384236, 0.0691624, 0.0845319]
    assert found["quadratic, 100 dimensions", "shb"] == [0.0181541, 0.0363081, 0.0653545, 0.0798778]
    assert found["logistic", "nesterov"] == [0.00318317, 0.0127327, 0.0509308, 0.203723, 0.814893]
    assert found["resnet8", "rk4"] == [0.174063, 0.69625, 2.785, 11.14]


def test_curvatures_are_those_of_the_data() -> None:
    low, high = (linear_regression(samples=512, features=features).x_train for features in (10, 100))
    table = breast_cancer().x_train
    found = []
    for inputs, factor in ((low, 2.0), (high, 2.0), (table, 0.5)):  # squared errors; two classes at p = 1/2
        rows = np.hstack([np.asarray(inputs), np.ones((len(inputs), 1))])
        found.append(factor * np.linalg.eigvalsh(rows.T @ rows / len(rows))[-1])
    plans = plan("numerical_sgd", "laptop").plans
    said = {planned.labels["problem"]: planned.labels["curvature"] for planned in plans}
    assert found == pytest.approx([said[name] for name in CONVEX], rel=2e-4)


def test_its_paper_scale_is_absent_and_says_why() -> None:
    with pytest.raises(ConfigError, match=r"--scale paper: .*unknown to us"):
        plan("numerical_sgd", "paper")
    assert "unknown" in absent("numerical_sgd", "paper")
    assert absent("numerical_sgd", "gpu") == absent("sgdm_schedules", "paper") == ""
    assert "laptop, desk, gpu, paper" in absent("sgdm_schedules", "huge")


@pytest.mark.slow
def test_all_leaves_out_what_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(reproduction.OUT, "print", lambda *texts, **_: said.extend(map(str, texts)))
    monkeypatch.setattr(reproduction.OUT, "rule", said.append)
    monkeypatch.setattr("batchlab.runner.plan.reproduce.recipes", lambda: ["numerical_sgd", "sgdm_schedules"])
    assert reproduction.reproduce("all", "paper", tmp_path, SweepOptions(dry_run=True)) == 0
    assert said[0].startswith("numerical_sgd is left out at scale paper: the settings")
    with pytest.raises(ConfigError, match="--scale huge"):
        reproduction.reproduce("all", "huge", tmp_path, SweepOptions(dry_run=True))


@pytest.mark.slow
def test_orders_and_limits_are_measured_on_the_optimizers_of_the_plan(tmp_path: Path) -> None:
    whole = plan("numerical_sgd", "laptop")
    few = [next(p for p in whole.plans if p.tree["optimizer"]["name"] == name) for name in ("taylor", "ab4", "sgd")]
    measured = PaperPlan("numerical_sgd", "laptop", few, whole.survey).measure()
    assert measured["limits"] == pytest.approx({"taylor": 1.0, "ab4": 0.3, "sgd": 2.0}, rel=0.01)
    store = RunStore(tmp_path).prepare()
    freeze(store, "numerical_sgd-laptop", few)
    store.write_measured("numerical_sgd", measured)
    made = reproduce(store, "numerical_sgd", "numerical_sgd-laptop")
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in made.published[0].rows}
    slopes = [float(rows[SCHEMES[name]][1]) for name in ("taylor", "ab4", "sgd")]
    assert slopes == pytest.approx([2, 4, 1], abs=0.1)
    assert not made.plots[0].drawable
    assert made.plots[2].drawable
    assert made.claims[0].claim.metric == LOSS
