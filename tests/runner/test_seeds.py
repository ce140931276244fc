"""The same runs at other seeds: who they are, and which seeds are never judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from runs import TINY

from batchlab.results.compare.smallest import Smallest
from batchlab.runner.plan.conf.files import PACKAGED
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.identity import run_id
from batchlab.runner.plan.reproduce import plan, plans_of, recipes
from batchlab.runner.plan.seeds import at_seeds, judged_seeds, tunes


def composed(*overrides: str, **labels: object) -> list[Planned]:
    return compose([*TINY, *overrides], labels or None)


def test_at_another_seed_it_is_the_run_that_a_user_would_ask_for() -> None:
    """Identity, configuration and labels: what was trained by another command is found."""
    made = at_seeds(composed("optimizer=shb,adam", "seed=0"), [7, 3])
    asked = composed("optimizer=shb,adam", "seed=7,3")
    assert {p.run_id: p.tree for p in made} == {p.run_id: p.tree for p in asked}
    assert [(p.tree["seed"], p.tree["optimizer"]["name"]) for p in made] == [
        (7, "shb"), (7, "adam"), (3, "shb"), (3, "adam"),
    ]  # fmt: skip
    assert all(p.run_id == run_id(p.tree) for p in made)
    assert [p.overrides for p in made[:2]] == [("optimizer=shb", "seed=7"), ("optimizer=adam", "seed=7")]


def test_a_method_that_is_there_at_several_seeds_is_one() -> None:
    plans = composed("optimizer=shb,adam", "seed=0,1,2")
    made = at_seeds(plans, [0, 1, 2, 3])
    assert len(made) == 8
    assert {p.run_id for p in plans} <= {p.run_id for p in made}
    assert at_seeds(plans, []) == []
    again = at_seeds(made, [2])
    assert [p.overrides for p in again] == [("optimizer=shb", "seed=2"), ("optimizer=adam", "seed=2")]
    named = at_seeds([replace(plans[0], labels={"case": "i"}), *plans[1:]], [9])
    assert named[0].labels == {"case": "i"}, "its first run speaks for it"
    assert plans[0].tree["seed"] == 0, "nothing is changed in place"


def test_labels_go_with_the_method() -> None:
    first, second = composed("seed=0", case="i"), composed("optimizer=adam", "seed=0", case="ii")
    assert [p.labels for p in at_seeds([*first, *second], [5, 6])] == [{"case": "i"}, {"case": "ii"}] * 2


def bare(seed: int, *, tuning: bool = False) -> Planned:
    tree = {"seed": seed, "optimizer": {"name": "shb"}}
    return Planned(f"{seed}", tree, (), {"tuning": True} if tuning else {})


@given(
    judged=st.sets(st.integers(0, 12), min_size=1, max_size=5),
    tuning=st.sets(st.integers(0, 12), max_size=5),
    n=st.integers(1, 20),
)
def test_seeds_that_tune_are_never_judged(judged: set[int], tuning: set[int], n: int) -> None:
    judged -= tuning
    if not judged:
        return
    plans = [*(bare(seed, tuning=True) for seed in tuning), *(bare(seed) for seed in judged)]
    seeds = judged_seeds(plans, n)
    assert len(seeds) == n == len(set(seeds))
    assert list(seeds) == sorted(seeds)
    assert not set(seeds) & tuning
    assert set(seeds[: len(judged)]) <= judged, "those of the recipe come first"
    beyond = [seed for seed in range(max(judged) + 1, 99) if seed not in tuning]
    assert seeds == (*sorted(judged), *beyond)[:n]
    assert judged_seeds(plans, n + 3)[:n] == seeds, "a longer plan goes on where a shorter one ends"


def test_of_a_longer_comparison_the_usual_tuning_seeds_are_left_out() -> None:
    plans = [bare(0), bare(101, tuning=True), bare(102, tuning=True)]
    seeds = judged_seeds(plans, 103)
    assert seeds[99:] == (99, 100, 103, 104)


def test_who_tunes() -> None:
    plan = bare(3)
    assert not tunes(plan)
    assert not tunes(replace(plan, labels={"tuning": False}))
    assert tunes(replace(plan, labels={"tuning": True, "case": "i"}))


def test_a_recipe_says_which_seeds_tune() -> None:
    """`tuning: [..]` of a scale: they come first, each with the label, and the others are judged."""
    scale = {
        "common": [*TINY, "seed=range(0,4)"],
        "tuning": [0, 1],
        "grids": [{"labels": {"rate": rate}, "overrides": [f"optimizer.lr={rate}"]} for rate in (0.1, 0.2)],
    }
    plans = plans_of(scale, "vrgd")
    assert [(p.tree["seed"], tunes(p)) for p in plans] == [
        (0, True), (0, True), (1, True), (1, True), (2, False), (2, False), (3, False), (3, False),
    ]  # fmt: skip
    assert judged_seeds(plans, 5) == (2, 3, 4, 5, 6)
    assert [p.labels for p in plans[-2:]] == [{"rate": 0.1}, {"rate": 0.2}]
    assert not any(map(tunes, plans_of({**scale, "tuning": []}, "vrgd")))


@pytest.mark.slow
@pytest.mark.parametrize("paper", recipes())
def test_a_recipe_says_what_is_too_small_to_matter(paper: str) -> None:
    """Both kinds: a paper's claims are of accuracies and of ratios."""
    content = yaml.safe_load((PACKAGED / "reproduce" / f"{paper}.yaml").read_text())
    found = plan(paper, "laptop").smallest
    assert found == Smallest.parse(content["smallest"])
    assert None not in (found.difference, found.share)
