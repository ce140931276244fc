"""Contenders in order, groups by compact letters, and the sentence: on frames whose truth is known."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.contest import LABEL, Contest, Result, result_of, turned
from batchlab.results.compare.decide import Plan
from batchlab.results.compare.sequential import Looks
from batchlab.results.compare.smallest import Smallest
from batchlab.results.report.parts import Parts
from batchlab.results.report.sections import of_contest
from batchlab.results.show.answer import sentence
from batchlab.results.show.contest_sheet import contest_sheets
from batchlab.results.show.render import FORMATS, render
from batchlab.results.show.standing import standing_lines
from batchlab.results.store.runs import SweepEntry

NOISE = np.array([0.0011, -0.0007, 0.0002, -0.0013, 0.0009, 0.0004, -0.0012, 0.0006])
LOOKS = Looks((3, 5, 8))
CLOCKS = {"epoch": 1.0, "train_seconds": 2.0}
"""What every row of a real run has too."""
HALF = Smallest(difference=0.5)


def result(frame_of, values, metric="test_accuracy", smallest=HALF, keys=(), chooser="", extra=()):
    """Contenders with a value, or a state, per seed."""
    runs = [*extra]
    for name, own in values.items():
        for seed, value in enumerate(own):
            state = value if isinstance(value, str) else "done"
            numbers = {} if isinstance(value, str) else {metric.rpartition(":")[2]: float(value)} | CLOCKS
            runs.append(({LABEL: name, "seed": seed}, numbers, state))
    plan = Plan(LOOKS, tuple(range(8)), smallest)
    return Result(Contest(tuple(values), metric, keys, chooser), plan, frame_of(runs))


def fixed(order, beaten):
    """A result of which only is known who beats whom."""

    class Known(Result):
        def beats(self, a, b):
            return (a, b) in beaten

    known = Known(Contest(tuple(order), "test_accuracy"), Plan(LOOKS, tuple(range(8))), None)
    known.__dict__["order"] = list(order)
    return known


def maximal(order, alike):
    """All largest sets whose members are alike pairwise, by trying every set."""
    sets = [set(s) for n in range(1, len(order) + 1) for s in itertools.combinations(order, n)]
    whole = [s for s in sets if all(frozenset(pair) in alike for pair in itertools.combinations(s, 2))]
    return [s for s in whole if not any(s < other for other in whole)]


def check_letters(order, told_apart, turned):
    """The letters of one graph against brute force."""
    beaten = {tuple(reversed(pair)) if turn else pair for pair, turn in zip(told_apart, turned, strict=True)}
    groups = fixed(order, beaten).groups
    alike = {frozenset(p) for p in itertools.combinations(order, 2)} - {frozenset(p) for p in told_apart}
    letters = sorted(set("".join(groups.values())))
    cliques = [{name for name in order if letter in groups[name]} for letter in letters]
    assert sorted(map(sorted, cliques)) == sorted(map(sorted, maximal(order, alike)))
    assert letters == [chr(97 + i) for i in range(len(letters))]
    places = [[order.index(name) for name in order if name in clique] for clique in cliques]
    assert places == sorted(places), "a is the group of the best"
    for a, b in itertools.combinations(order, 2):
        assert bool(set(groups[a]) & set(groups[b])) == (frozenset((a, b)) in alike), "sharing is not being told apart"


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_letters_of_every_small_graph(n):
    order = [f"c{i}" for i in range(n)]
    pairs = list(itertools.combinations(order, 2))
    for chosen in itertools.product([False, True], repeat=len(pairs)):
        apart = [pair for pair, is_apart in zip(pairs, chosen, strict=True) if is_apart]
        check_letters(order, apart, [False] * len(apart))


@given(data=st.data(), n=st.integers(5, 7))
@settings(max_examples=60, deadline=None)
def test_letters_of_larger_graphs(data, n):
    order = [f"c{i}" for i in range(n)]
    pairs = list(itertools.combinations(order, 2))
    apart = data.draw(st.lists(st.sampled_from(pairs), unique=True))
    turned = data.draw(st.lists(st.booleans(), min_size=len(apart), max_size=len(apart)))
    check_letters(order, apart, turned)


BETTER = {"good": 0.90 + NOISE, "fair": 0.85 - NOISE, "poor": 0.80 + NOISE / 2}


def test_better_than_both(frame_of):
    found = result(frame_of, dict(reversed(BETTER.items())))
    assert found.order == ["good", "fair", "poor"], "by their means, not as they were asked for"
    assert found.groups == {"good": "a", "fair": "b", "poor": "c"}
    assert [item.verdict for item in found.judged] == [Verdict.DOES_NOT_HOLD] * 3, "asked the other way round"
    said = sentence(found)
    assert said.startswith(f"good has the best test accuracy: {100 * BETTER['good'].mean():.3f} % over 8 seeds.")
    assert "It is better than fair (+5.0" in said
    assert "and poor (+10.0" in said
    assert said.count("points at 3 seeds)") == 2
    assert "Not decided" not in said
    assert "No difference" not in said
    asked_so = result(frame_of, BETTER)
    assert [item.verdict for item in asked_so.judged] == [Verdict.HOLDS] * 3
    assert sentence(asked_so) == said, "the order of the request says nothing"


def test_no_difference(frame_of):
    found = result(frame_of, {"a": 0.80 + NOISE, "b": 0.80 - NOISE / 3, "c": 0.70 + NOISE / 4})
    assert found.groups["a"] == found.groups["b"] == "a"
    best, second, _ = found.order
    said = sentence(found)
    assert f"No difference beyond 0.5 points from {second}." in said
    assert "It is better than c (" in said
    assert not found.beats(best, second)
    assert not found.beats(second, best)
    assert found.beats(best, "c")
    assert not found.beats("c", best)


def test_not_decided(frame_of):
    wide = 20 * NOISE
    found = result(frame_of, {"a": 0.80 + wide, "b": 0.801 - wide})
    assert found.judged[0].verdict is Verdict.UNDECIDED
    other = found.order[1]
    assert f"Not decided against {other}" in sentence(found)
    assert "better than" not in sentence(found)
    assert set(found.groups.values()) == {"a"}
    early = result(frame_of, {"a": 0.80 + wide[:3], "b": 0.85 - wide[:3]})
    assert "(about " in sentence(early), "how many seeds would decide it"


def test_runs_that_were_lost(frame_of):
    """Half of the runs and more: last in the order, whatever the others came to; a contender without any after that."""
    values = {"none": ["diverged"] * 8, "half": [*["failed"] * 4, *(0.99 + NOISE[4:])], "whole": 0.8 + NOISE}
    found = result(frame_of, values)
    assert found.order == ["whole", "half", "none"]
    assert [found.lost(name) for name in found.order] == [0, 4, 8]
    assert len(found.values("half", found.metric)) == 4
    order, _ = contest_sheets(found)
    assert [row[1].detail.partition("† ")[2] for row in order.rows] == ["", "4 seeds lost", "8 seeds lost"]
    assert order.rows[2][1].text == "–"
    assert found.beats("whole", "none"), "lost is worse than any number"
    assert "better than" in sentence(found)
    assert "none (better in 8 of 8 seeds, worse in 0" in sentence(found)


def test_one_seed_says_nothing_yet(frame_of):
    found = result(frame_of, {"a": [0.9], "b": [0.8]})
    assert sentence(found) == (
        "Nothing is decided yet. a has the best mean test accuracy so far: 90.00 % over 1 seed. Not decided against b."
    )
    order, pairs = contest_sheets(found)
    assert (order.rows[0][1].detail, order.rows[0][2].text) == ("", "1")
    for sheet, form in itertools.product((order, pairs), FORMATS):
        assert "nan" not in render(sheet, form).lower().replace("dominant", "")


@pytest.mark.parametrize("values", [{"a": [], "b": []}, {"a": ["pending"] * 3, "b": ["interrupted"] * 3}])
def test_before_the_first_run(frame_of, values):
    """A stop in the middle of the tuning still prints a page."""
    for keys, chooser in (((), ""), (("optimizer.lr",), "validation_accuracy")):
        found = result(frame_of, values, keys=keys, chooser=chooser)
        assert sentence(found) == "No judged run is done yet: nothing can be said."
        assert [sheet.rows for sheet in contest_sheets(found)]
        assert found.reached is None


def test_better_down(frame_of):
    """A loss of half as much is the better one; on the logarithm effects are factors."""
    found = result(frame_of, {"high": 2.0 + 10 * NOISE, "low": 1.0 + 10 * NOISE}, metric="train_loss")
    assert found.order == ["low", "high"]
    assert found.beats("low", "high")
    said = sentence(found)
    assert said.startswith("low has the best train loss: 1.00")
    assert "better than high (× 0.500 [" in said
    assert found.reached == max(found.values("high", found.metric))
    alike = result(frame_of, {"a": 1.0 + NOISE, "b": 1.0 - NOISE}, metric="train_loss", smallest=Smallest(share=0.05))
    assert "No difference beyond 5 % from" in sentence(alike)


def tuned(frame_of, offered, seeds=(101, 102), **more):
    """Two contenders at lr 0.1, 0.3 and 1: what validation said of each, and judged runs at all of them."""
    runs = []
    for name, by_rate in offered.items():
        for rate, level in by_rate.items():
            for seed in seeds:
                labels = {LABEL: name, "seed": seed, "tuning": True, "optimizer.lr": rate}
                runs.append((labels, {"validation_accuracy": level + seed / 1e5, "test_accuracy": 1 - level} | CLOCKS))
            for seed in range(8):
                labels = {LABEL: name, "seed": seed, "optimizer.lr": rate}
                runs.append((labels, {"validation_accuracy": 0.1, "test_accuracy": level + NOISE[seed]} | CLOCKS))
    contest = Contest(tuple(offered), "test_accuracy", ("optimizer.lr",), "validation_accuracy")
    return Result(contest, Plan(LOOKS, tuple(range(8)), HALF), frame_of(runs))


OFFERED = {"a": {0.1: 0.7, 0.3: 0.8, 1.0: 0.6}, "b": {0.1: 0.5, 0.3: 0.6, 1.0: 0.9}}


def test_each_at_its_best_value_on_seeds_that_judge_nothing(frame_of):
    found = tuned(frame_of, OFFERED)
    assert found.order == ["b", "a"]
    assert sentence(found).startswith("b (optimizer.lr 1) has the best test accuracy: 90.00")
    assert found.values("a", found.metric) == pytest.approx(list(0.8 + NOISE)), "seeds 101 and 102 are not among them"
    assert len(found.best.runs) == 16
    order, _ = contest_sheets(found)
    assert [row[1].text for row in order.rows] == ["1", "0.3"]
    (note,) = [note for note in order.notes if "was chosen" in note]
    assert note == (
        "each contender's optimizer.lr was chosen from 0.1, 0.3, 1 by validation_accuracy on 2 seeds that judge "
        "nothing (of equals by validation_loss); b at an end of the grid: a better one may lie beyond"
    )
    own = tuned(frame_of, {"a": OFFERED["a"], "b": {0.01: 0.5, 0.02: 0.9, 0.03: 0.6}})
    said = "was chosen from as many values (a: 0.1, 0.3, 1; b: 0.01, 0.02, 0.03) by validation_accuracy"
    assert said in str(contest_sheets(own)[0].notes)
    inner = tuned(frame_of, {"a": OFFERED["a"], "b": OFFERED["a"]})
    assert "end of the grid" not in str(contest_sheets(inner)[0].notes)
    two = tuned(frame_of, {name: {0.1: 0.5, 0.3: 0.6} for name in "ab"})
    assert "end of the grid" not in str(contest_sheets(two)[0].notes), "two values have nothing but ends"
    nothing = contest_sheets(result(frame_of, BETTER))[0].notes
    assert "nothing was tuned: each at the values of its configuration" in nothing


def test_what_it_cost_to_come_to_what_every_run_came_to(lab, curve):
    """The slower one needs three epochs for what the quicker one has after one."""
    entries = []
    for seed in range(3):
        for name, values in (("slow", [0.1, 0.3, 0.5, 0.8]), ("quick", [0.1, 0.8, 0.85, 0.9])):
            lab.run(f"{name}{seed}", curve([v + 0.001 * seed for v in values]), optimizer=name, seed=seed)
            entries.append(SweepEntry(f"{name}{seed}", {LABEL: name}, [f"optimizer={name}"]))
    lab.store.write_sweep("c", entries)
    contest, plan = Contest(("slow", "quick"), "test_accuracy"), Plan(LOOKS, tuple(range(8)), HALF)
    lab.store.declare("c", json.loads(json.dumps(plan.record() | {"contest": contest.record()})))
    found = result_of(lab.store, "c")
    assert (found.contest, found.plan) == (contest, plan)
    assert found.reached == pytest.approx(0.8)
    order, pairs = contest_sheets(found)
    assert [cell.text for cell in order.rows[0][:1]] == ["quick"]
    titles = [column.header[-1] for column in order.columns]
    epochs, seconds = titles.index("epochs to that"), titles.index("seconds")
    assert [float(row[epochs].text) for row in order.rows] == pytest.approx([1, 3])
    assert [float(row[seconds].text) for row in order.rows] == pytest.approx([0.5, 1.5])
    assert any("until a run first had test accuracy 80.00 %" in note for note in order.notes)
    assert "no test is made of it" in " ".join(order.notes)
    assert len(pairs.rows) == 1


def test_no_costs_where_there_is_no_level_to_come_to(frame_of):
    found = result(frame_of, {"a": 0.9 + NOISE, "b": 0.8 + NOISE}, metric="max:test_accuracy")
    assert found.reached is None
    assert not any("cost" in note for note in contest_sheets(found)[0].notes)
    assert any("picks its evaluation on the test set" in note for note in contest_sheets(found)[0].notes)


def test_a_contest_comes_back_as_it_was_written(lab):
    contest = Contest(("a", "b"), "train_loss", ("optimizer.lr", "optimizer.momentum"), "validation_loss")
    assert Contest.of(json.loads(json.dumps(contest.record()))) == contest
    assert result_of(lab.store, "nosuch") is None
    lab.store.declare("paper", Plan(LOOKS, tuple(range(8))).record())
    assert result_of(lab.store, "paper") is None, "a paper's plan is no contest"


def test_nobody_is_called_best_who_is_decided_to_be_worse(frame_of):
    """A pair that was decided early has fewer seeds: a mean that has easier ones too does not overrule it."""
    early, late = 0.80 + NOISE[:3], 0.95 + NOISE[3:]
    values = {"b": [*early, *late], "a": early + 0.02, "c": [*(early - 0.02 * NOISE[0]), *late]}
    found = result(frame_of, values)
    assert found.beats("a", "b")
    assert found.order.index("a") < found.order.index("b"), "a has three seeds, all hard; b has easy ones too"
    assert sentence(found).startswith("a has the best")


def test_equal_validation_accuracies_are_told_apart_by_the_loss(frame_of):
    runs = []
    for rate, loss in ((0.01, 0.13), (0.1, 0.07), (1.0, 0.30)):
        for seed in (101, 102):
            labels = {LABEL: "a", "seed": seed, "tuning": True, "optimizer.lr": rate}
            chosen = {"validation_accuracy": 0.9 if rate < 1 else 0.8, "validation_loss": loss}
            runs.append((labels, chosen | {"test_accuracy": 0.5} | CLOCKS))
        runs.append(({LABEL: "a", "seed": 0, "optimizer.lr": rate}, {"test_accuracy": 0.9} | CLOCKS))
    contest = Contest(("a", "b"), "test_accuracy", ("optimizer.lr",), "validation_accuracy")
    choice = contest.choice(frame_of(runs))
    assert choice is not None
    assert choice.chosen["a",] == 0.1


def test_of_equals_zero_is_a_value_too(frame_of):
    runs = [
        (
            {LABEL: "a", "seed": 101, "tuning": True, "optimizer.momentum": value},
            {"validation_accuracy": 0.9, "validation_loss": loss} | CLOCKS,
        )
        for value, loss in ((-0.5, 0.3), (0.0, 0.1), (0.9, 0.2))
    ]
    choice = Contest(("a", "b"), "test_accuracy", ("optimizer.momentum",), "validation_accuracy").choice(frame_of(runs))
    assert choice is not None
    assert choice.chosen["a",] == 0.0


def test_nothing_came_to_anything(frame_of):
    lost = result(frame_of, {"a": ["diverged"] * 3, "b": ["failed"] * 3})
    assert sentence(lost) == "No contender has a number: 6 judged runs diverged or failed."


def test_nobody_measured_what_is_judged(frame_of):
    found = result(frame_of, {"a": [0.9] * 3, "b": [0.8] * 3})
    found = replace(found, contest=replace(found.contest, metric="test_f1"))
    assert found.unmeasured
    assert sentence(found) == "6 judged runs done, and none has measured test_f1: choose what does with +measure=NAME."
    assert not result(frame_of, {"a": [], "b": []}).unmeasured
    assert not result(frame_of, {"a": [0.9] * 3, "b": [0.8] * 3}).unmeasured


@pytest.mark.parametrize("fused", [4, None])
def test_times_of_runs_that_trained_together_are_not_compared(frame_of, fused):
    runs = [
        ({LABEL: name, "seed": seed}, {"train_seconds": seconds + noise, "epoch": 1.0}, "done", {"fused": fused})
        for name, seconds in (("a", 1.0), ("b", 2.0))
        for seed, noise in enumerate(NOISE)
    ]
    found = Result(Contest(("a", "b"), "train_seconds"), Plan(LOOKS, tuple(range(8))), frame_of(runs))
    order, pairs = contest_sheets(found)
    assert ("16 of these runs trained together" in str(order.notes)) == bool(fused)
    assert all(("±" in row[1].text, bool(row[1].detail)) == (not fused, not fused) for row in order.rows)
    assert all(math.isnan(record["std"]) == math.isnan(record["ci_low"]) == bool(fused) for record in order.records)
    assert (pairs.rows[0][2].text == "") == bool(fused)
    assert sentence(found).startswith("Nothing is decided yet." if fused else "a has the best")


def test_before_anything_is_judged_the_page_names_no_choice(frame_of):
    """A comparison that was cut off while it tuned has values that were tried, and none that was chosen."""
    tried = [
        ({LABEL: name, "seed": 100, "tuning": True, "rate": 0.1}, {"test_accuracy": 0.5} | CLOCKS, "done")
        for name in "ab"
    ]
    made = of_contest(Parts(), result(frame_of, {"a": [], "b": []}, keys=("rate",), extra=tried), "s")
    assert made.glance.summary == "nothing is chosen and nothing judged yet: 2 runs that choose are done"
    assert not made.glance.lines
    assert "<table" not in made.content


@pytest.mark.parametrize("asked", [*itertools.permutations("ABC")], ids="".join)
def test_pairs_are_counted_and_said_without_regard_to_the_order_of_the_request(frame_of, asked):
    """Nobody claimed that the first is better: no pair "does not hold"."""
    values = {"A": 0.9 + NOISE, "B": 0.8 + NOISE[::-1], "C": 0.7 + np.roll(NOISE, 3)}
    made = result(frame_of, {name: values[name] for name in asked})
    top = of_contest(Parts(), made, "s").glance
    assert top.summary == "3 pairs: 3 decided"
    assert [claim.text for claim in top.claims] == ["A against B", "A against C", "B against C"]
    assert {line.tone for line in top.lines} == {"good"}
    head, *lines = standing_lines(made.judged)
    assert head == "3 of 3 pairs decided, 0 open"
    shown = {line.split("  ")[1]: line for line in lines}
    for pair, winner in (("A against B", "A"), ("A against C", "A"), ("B against C", "B")):
        assert f"  +{10 * (1 + (pair == 'A against C'))}.0" in shown[pair], "from the side of the better"
        assert shown[pair].endswith(f"{winner} is better")


def test_a_pair_seen_from_the_other_side_has_the_verdict_of_that_side(frame_of):
    (item,) = result(frame_of, {"A": 0.7 + NOISE, "B": 0.8 + NOISE[::-1]}).judged
    assert [item.verdict, turned(item).verdict] == [Verdict.DOES_NOT_HOLD, Verdict.HOLDS]
    assert replace(turned(turned(item)), claim=item.claim) == item
