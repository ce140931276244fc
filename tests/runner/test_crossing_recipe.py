"""The recipe of the comparison across the papers: the same for all contenders, and judged where it was chosen."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from runs import TINY
from shell import in_one_line, in_process

from batchlab.results.compare.claims import Claim, Side
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.tuning import tuned
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.chosen import judged_later, methods, train_chosen
from batchlab.runner.looks import Question
from batchlab.runner.options import SweepOptions
from batchlab.runner.plan import reproduce
from batchlab.runner.plan.reproduce import absent, plan, plans_of
from batchlab.runner.plan.seeds import tunes
from batchlab.runner.plan.validate import validate

pytestmark = pytest.mark.slow  # a recipe of 1,512 runs takes seconds to compose
OPTIMIZERS = {"shb", "nshb", "adamw", "adagrad_norm", "vr_momentum", "lamb"}
BATCHES = {"constant", "growing", "noise-tested"}


@pytest.fixture(scope="module")
def laptop() -> Any:
    return plan("crossing", "laptop")


def test_every_contender_is_on_every_problem_and_tuned_alike(laptop: Any) -> None:
    """As many learning rates and as many tuning seeds for each, and the same seeds judge all."""
    tried: dict[tuple[str, str, str], set[tuple[float, int]]] = defaultdict(set)
    judged: dict[tuple[str, str, str], set[tuple[float, int]]] = defaultdict(set)
    for one in laptop.plans:
        tree = one.tree
        cell = one.labels["problem"], tree["optimizer"]["name"], one.labels["batches"]
        (tried if tunes(one) else judged)[cell].add((tree["optimizer"]["lr"], tree["seed"]))
    problems = {problem for problem, _, _ in tried}
    assert len(problems) == 3
    assert tried.keys() == judged.keys() == {(p, o, b) for p in problems for o in OPTIMIZERS for b in BATCHES}
    for cell, own in tried.items():
        rates = {rate for rate, _ in own}
        assert (len(rates), {seed for _, seed in own}) == (4, {101, 102})
        assert judged[cell] == {(rate, seed) for rate in rates for seed in range(5)}
    assert laptop.chosen, "of these rates only the chosen one is judged"
    assert (laptop.smallest.difference, laptop.smallest.share) == (0.5, 0.05)


def test_all_of_a_problem_spend_the_same_and_differ_in_nothing_else(laptop: Any) -> None:
    alike: dict[str, set[str]] = defaultdict(set)
    for one in laptop.plans:
        tree = one.tree
        same = {key: tree[key] for key in ("model", "dataset", "lr_schedule", "log", "measure")}
        same |= {"samples": tree["train"]["samples"], "target": one.labels["target"]}
        alike[one.labels["problem"]].add(repr(same))
        assert tree["dataset"]["validation"] == 0.1
        assert tree["lr_schedule"]["name"] == "constant"
        assert tree["model"].get("norm", "group") == "group", "BatchNorm would see the parts of a batch"
        noisy = tree["optimizer"]["name"] == "vr_momentum" or one.labels["batches"] == "noise-tested"
        assert tree["train"]["groups"] == (8 if noisy else 1)
    assert {len(own) for own in alike.values()} == {1}


def test_nshb_is_shb_at_ten_times_its_rates(laptop: Any) -> None:
    rates: dict[str, set[float]] = defaultdict(set)
    for one in laptop.plans:
        rates[one.tree["optimizer"]["name"]].add(one.tree["optimizer"]["lr"])
    assert sorted(rates["nshb"]) == pytest.approx([10 * rate for rate in sorted(rates["shb"])])


def test_it_is_valid_and_no_paper(laptop: Any) -> None:
    validate([one for one in laptop.plans if one.tree["seed"] == 101])
    assert "no paper" in absent("crossing", "paper")
    assert "54 methods at 5 seeds" in judged_later(Question("s", laptop.plans, lambda _: []))


SCALE = {
    "common": [*TINY, "seed=0,1,101", "dataset.validation=0.1"],
    "tuning": [101],
    "grids": [
        {"labels": {"who": who}, "overrides": [f"optimizer={who}", "optimizer.lr=0.001,0.1"]}
        for who in ("shb", "adamw")
    ],
}


def question(sweep: str) -> Question:
    claim = Claim(
        "a", "ours", "ours", Side("shb", {"who": "shb"}), (Side("adamw", {"who": "adamw"}),), Metric("test_accuracy")
    )

    def measure(frame: Any) -> Any:
        return judge(tuned(frame, Metric("validation_accuracy"), "optimizer.lr", ["who"]).frame, [claim])

    return Question(sweep, plans_of(SCALE, "crossing"), measure)


def test_only_the_chosen_values_are_judged_each_alone(tmp_path: Path) -> None:
    asked = question("s")
    assert (len(asked.plans), len(asked.tuning)) == (12, 4)
    assert train_chosen(asked, tmp_path, SweepOptions()) == 0
    store = RunStore(tmp_path)
    entries = [entry.run_id for entry in store.sweep("s").entries]
    trees = {one.run_id: one for one in asked.plans}
    judged = [trees[run_id] for run_id in entries if not tunes(trees[run_id])]
    assert len(entries) == 4 + 4
    assert {(one.labels["who"], one.tree["seed"]) for one in judged} == {
        (w, s) for w in ("shb", "adamw") for s in (0, 1)
    }
    for who in ("shb", "adamw"):
        assert len({one.tree["optimizer"]["lr"] for one in judged if one.labels["who"] == who}) == 1
    states = [store.run(run_id).read_state() for run_id in entries]
    assert {state.state for state in states} == {State.DONE}
    assert all("fused" not in store.run(one.run_id).read_state().info for one in judged)
    before = [store.run(run_id).metrics.stat().st_mtime_ns for run_id in entries]
    assert train_chosen(asked, tmp_path, SweepOptions()) == 0
    assert [store.run(run_id).metrics.stat().st_mtime_ns for run_id in entries] == before, "nothing is trained twice"
    assert [entry.run_id for entry in store.sweep("s").entries] == entries


def test_where_data_are_not_at_hand_others_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "_ready", lambda: {"digits", "breast_cancer"})
    made = plan("crossing", "laptop")
    assert made.lacking == ["mnist", "a9a"]
    assert {one.labels["problem"] for one in made.plans} == {"digits", "digits, perceptron", "breast cancer"}
    assert len(made.plans) == 1512


def test_the_desk_has_cifar_and_a_thin_resnet() -> None:
    made = plan("crossing", "desk")
    assert (sum(map(tunes, made.plans)), methods(Question("s", made.plans, lambda _: []))) == (216, 54)
    images = [one.tree for one in made.plans if one.labels["problem"] == "CIFAR-10"]
    assert {(tree["dataset"]["subset"], tree["model"]["name"], tree["model"]["width"]) for tree in images} == {
        (5000, "resnet8", 8)
    }
    assert len(made.deviations) == 3


def test_the_first_command_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("reproduce", "crossing", "--dry-run", "--runs", str(tmp_path))
    code, said, _ = in_process(*asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert "432 runs, all valid: 432 to go; nothing was started" in said
    assert "these choose; then 54 methods at 5 seeds are judged" in said
    assert not any(tmp_path.iterdir())


def test_without_any_of_its_data_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "empty"))
    asked = ("reproduce", "crossing", "--scale", "desk", "--dry-run", "--runs", str(tmp_path))
    code, said = in_one_line(*asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2
    assert "`batchlab data prepare cifar10 mnist a9a`" in said
