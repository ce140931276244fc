"""Runs at other seeds are the runs that composing them would give."""

from __future__ import annotations

from batchlab.runner.plan.config import compose
from batchlab.runner.plan.seeds import at_seeds, method_of

GRID = ("optimizer=shb,adam", "optimizer.lr=0.1,0.01", "model=mlp")


def test_they_are_what_composing_gives() -> None:
    few = compose([*GRID, "seed=range(0,2)"])
    more = at_seeds(few, [0, 5, 7])
    assert {p.run_id for p in more} == {p.run_id for p in compose([*GRID, "seed=0,5,7"])}
    assert [p.tree["seed"] for p in more] == [0] * 4 + [5] * 4 + [7] * 4
    assert more[0].run_id == few[0].run_id
    assert more[4].overrides == ("optimizer=shb", "optimizer.lr=0.1", "seed=5")
    assert few[0].tree["seed"] == 0, "the plans are as they were"


def test_only_the_methods_that_are_wanted() -> None:
    few = compose([*GRID, "seed=range(0,2)"])
    wanted = {method_of(p) for p in few if p.tree["optimizer"]["name"] == "adam"}
    assert len(wanted) == 2
    assert {p.tree["optimizer"]["name"] for p in at_seeds(few, [3], wanted)} == {"adam"}
    assert len(at_seeds(few, [3], wanted)) == 2
