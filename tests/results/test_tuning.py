"""A method's learning rate is chosen on the tuning seeds alone: at the end of a run, or within a reading's budget."""

import math
from dataclasses import replace

import pytest

from batchlab.results.compare.caveats import TRIALS
from batchlab.results.compare.choice import judged
from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.tuning import Study, together, tuned
from batchlab.results.show.claims_sheet import claims_sheet

LOSS, ACCURACY = Metric("train_loss"), Metric("test_accuracy")
TUNING = (101, 102)


def fill(lab, method, rate, seed, losses, *, state="done", gradients=1, pace=1.0):
    """A run with a row per epoch of 100 samples."""
    rows = [
        {
            "samples": 100 * e, "steps": e, "epoch": float(e), "gradients": 100 * gradients * e,
            "train_seconds": pace * e, "train_loss": loss,
        }
        for e, loss in enumerate(losses, 1)
    ]  # fmt: skip
    lab.run(f"{method}-{rate}-{seed}", rows, state, optimizer=method, seed=seed, lr=rate)


def study(lab):
    frame = load(lab.store)
    labelled = [
        replace(
            run,
            labels={
                "scheme": run.value("optimizer"), "share": run.value("optimizer.lr"), "tuning": run.value("seed") < 2
            },
        )
        for run in frame.runs
    ]  # fmt: skip
    return Study("p", replace(frame, runs=labelled), LOSS)


def test_the_least_median_over_the_tuning_seeds_whatever_the_others_say(lab):
    for seed in range(5):
        tuned = seed < 2
        fill(lab, "sgd", 0.1, seed, [1.0, 0.5 if tuned else 0.01])
        fill(lab, "sgd", 0.2, seed, [1.0, 0.4 if tuned else 0.99])
    made = study(lab)
    assert made.chosen["epochs"] == {"sgd": 0.2}
    assert {run.value("seed") for run in made.judged("epochs").runs} == {2, 3, 4}
    (cell,) = [cell for cell in made.table("t").cells.values() if cell.metric == LOSS]
    assert cell.values == {2: 0.99, 3: 0.99, 4: 0.99}
    assert made.final["sgd"] == {0.1: pytest.approx(0.01), 0.2: pytest.approx(0.99)}
    assert made.start == 1.0


def test_each_reading_has_its_own_choice(lab):
    """Two gradients per step: at equal gradients a run counts up to its half, where the large rate is ahead."""
    for seed in range(3):
        fill(lab, "sgd", 0.1, seed, [1.0, 0.9, 0.8, 0.7])
        fill(lab, "heun", 0.1, seed, [1.0, 0.9, 0.2, 0.1], gradients=2, pace=4.0)
        fill(lab, "heun", 0.9, seed, [0.6, 0.5, 0.5, 0.5], gradients=2, pace=4.0)
    made = study(lab)
    assert made.at("gradients").limit == 400
    assert made.at("seconds").limit == 4
    assert made.chosen == {
        "epochs": {"sgd": 0.1, "heun": 0.1},
        "gradients": {"sgd": 0.1, "heun": 0.9},
        "seconds": {"sgd": 0.1, "heun": 0.9},
    }
    table = made.table("t")
    values = {(row, metric.budget): cell.summary.mean for (row, _, metric), cell in table.cells.items()}
    assert values[("heun",), ""] == 0.1
    assert values[("heun",), "gradients"] == 0.5
    assert values[("heun",), "seconds"] == 0.6
    assert values[("sgd",), "gradients"] == values[("sgd",), ""] == 0.7


@pytest.mark.parametrize("bad", [[1.0, math.nan], [1.0, math.inf]])
@pytest.mark.parametrize("state", ["done", "diverged", "interrupted"])
def test_a_tuning_run_that_was_lost_rules_its_rate_out(lab, bad, state):
    for seed in range(3):
        fill(lab, "sgd", 0.1, seed, [1.0, 0.9])
        fill(lab, "sgd", 0.2, seed, [1.0, 0.1] if seed != 1 else bad, state="done" if seed != 1 else state)
        fill(lab, "ab4", 0.2, seed, bad, state=state)
    made = study(lab)
    assert made.chosen["epochs"] == {"sgd": 0.1}, "the median of two with an infinity is infinite"
    assert made.final["ab4"] == {0.2: math.inf}
    assert made.final["sgd"][0.2] == pytest.approx(0.1), "the lost run was one of tuning"


def test_of_equals_the_smaller_rate(lab):
    for seed in range(3):
        for rate in (0.3, 0.1, 0.2):
            fill(lab, "sgd", rate, seed, [1.0, 0.5])
    assert study(lab).chosen["epochs"] == {"sgd": 0.1}


def test_a_judged_run_that_was_lost_is_shown_as_lost(lab):
    for seed in range(4):
        fill(lab, "sgd", 0.1, seed, [1.0, 0.5], state="diverged" if seed == 3 else "done")
    made = study(lab)
    assert made.final["sgd"] == {0.1: math.inf}
    (cell,) = [cell for cell in made.table("t").cells.values() if cell.metric == LOSS]
    assert (cell.losses.diverged, list(cell.values)) == (1, [2])


def test_nothing_has_run(lab):
    fill(lab, "sgd", 0.1, 0, [], state="interrupted")
    made = study(lab)
    assert made.chosen == {"epochs": {}, "gradients": {}, "seconds": {}}
    assert made.start == math.inf
    assert made.final == {}
    assert made.table("t", Metric("test_accuracy")).cells == {}


# -- one choice at the end of a run ------------------------------------------------------------------------------------


def cell(method, accuracies, tuning=True, first=101, states=()):
    """accuracies: {rate: [of seed `first`, of the next, ...]}; states: {(rate, seed): state}. See `frame_of`."""
    states = dict(states)
    return [
        (
            {"method": method, "rate": rate, "seed": seed, **({} if tuning is None else {"tuning": tuning})},
            {"test_accuracy": value},
            states.get((rate, seed), "done"),
        )
        for rate, values in accuracies.items()
        for seed, value in enumerate(values, first)
    ]


def choice(frame):
    return tuned(frame, ACCURACY, "rate", ["method"])


def test_tuning_runs_choose_and_are_not_judged(frame_of):
    """What the judged seeds say of the rates changes nothing, whichever seed is left out: all prefer 0.1."""
    choosing, others = {0.1: [0.5, 0.5], 0.3: [0.8, 0.8]}, {0.1: [0.9] * 3, 0.3: [0.2] * 3}
    frame = frame_of(cell("A", choosing) + cell("A", others, False, 0))
    made = choice(frame)
    assert made.chosen == {("A",): 0.3}
    assert made.seeds == [101, 102]
    assert [(run.value("seed"), run.value("rate")) for run in made.frame.runs] == [(0, 0.3), (1, 0.3), (2, 0.3)]
    assert {run.value("seed") for run in judged(frame).runs} == {0, 1, 2}


@pytest.mark.parametrize("state", ["diverged", "failed", "interrupted", "running"])
def test_a_rate_that_lost_a_tuning_run_is_out_whatever_it_does_when_judged(frame_of, state):
    offered = {0.1: [0.5, 0.5], 0.3: [0.6, 0.6], 1.0: [0.9, 0.9]}
    frame = frame_of(cell("A", offered, states={(1.0, 102): state}) + cell("A", {r: [0.9] for r in offered}, False, 0))
    made = choice(frame)
    assert made.chosen == {("A",): 0.3}
    assert made.stuck == []
    over = 6 if state in ("diverged", "failed") else 5
    assert made.frame.runs[0].info[TRIALS] == [over]


def test_of_equals_the_smaller_and_at_an_edge_it_is_marked(frame_of):
    offered = {0.3: [0.5, 0.5], 0.1: [0.5, 0.5], 1.0: [0.1, 0.1]}
    made = choice(frame_of(cell("A", offered) + cell("B", {0.1: [0.5, 0.5]})))
    assert made.chosen == {("A",): 0.1, ("B",): 0.1}
    assert [made.text((name,)) for name in "ABC"] == ["0.1*", "0.1", ""]


def test_all_failures_stay_a_failure_at_the_least_rate(frame_of):
    lost = {(rate, seed): "diverged" for rate in (0.3, 0.1) for seed in TUNING}
    frame = frame_of(cell("A", {0.3: [0.5, 0.5], 0.1: [0.5, 0.5]}, states=lost) + cell("A", {0.1: [0.7]}, False, 0))
    made = choice(frame)
    assert (made.chosen, made.stuck, made.text(("A",))) == ({("A",): 0.1}, [("A",)], "0.1†")
    assert len(made.frame.runs) == 1


@pytest.mark.parametrize("metric", ["test_accuracy", "train_loss"])
def test_better_is_what_the_metric_says(frame_of, metric):
    runs = [({"rate": rate, "seed": 101, "tuning": True}, {metric: rate}) for rate in (0.1, 0.3)]
    made = tuned(frame_of(runs), Metric(metric), "rate", [])
    assert made.chosen == {(): 0.3 if metric == "test_accuracy" else 0.1}


def test_logarithms_are_averaged_where_the_metric_has_them(frame_of):
    losses = {0.1: (1.0, 1.0), 0.3: (0.01, 3.0)}  # means 1.0 and 1.5, geometric 1.0 and 0.17
    runs = [
        ({"rate": rate, "seed": seed, "tuning": True}, {"train_loss": loss})
        for rate, own in losses.items()
        for seed, loss in zip(TUNING, own, strict=True)
    ]
    assert tuned(frame_of(runs), LOSS, "rate", []).chosen == {(): 0.3}


@pytest.mark.parametrize("tuning", [None, False])
def test_without_tuning_runs_nothing_is_chosen(frame_of, tuning):
    frame = frame_of(cell("A", {0.1: [0.5] * 3, 0.3: [0.6] * 3}, tuning, 0))
    made = choice(frame)
    assert (made.chosen, made.seeds, made.frame.runs) == ({}, [], [])
    assert judged(frame).runs == frame.runs


def test_a_metric_that_nobody_measured_chooses_nothing_good(frame_of):
    made = tuned(frame_of(cell("A", {0.1: [0.5] * 2})), Metric("validation_accuracy"), "rate", ["method"])
    assert made.stuck == [("A",)]


# -- as many tuning runs on both sides ---------------------------------------------------------------------------------


def versus(frame):
    claim = Claim("A beats B", "", "ours", Side("A", {"method": "A"}), (Side("B", {"method": "B"}),), ACCURACY)
    return judge(choice(frame).frame, [claim])


def nine(method, rates, **more):
    better = 0.3 if method == "A" else 0.0
    own = {rate / 10: [better + rate / 100 + seed / 1000 for seed in range(5)] for rate in range(1, rates + 1)}
    return cell(method, {rate: values[:2] for rate, values in own.items()}, **more) + cell(method, own, False, 0)


def test_unequal_tuning_is_said_beside_the_verdict(frame_of):
    items = versus(frame_of(nine("A", 9) + nine("B", 3)))
    assert items[0].verdict is Verdict.HOLDS
    shown = claims_sheet(items).rows[0][-1]
    assert "unequal tuning flatters whoever has more: chosen from 6 and 18 tuning runs" in shown.detail
    (equal,) = versus(frame_of(nine("A", 9) + nine("B", 9)))
    assert equal.reason == ""


def test_a_tuning_run_that_is_not_over_was_not_had(frame_of):
    items = versus(frame_of(nine("A", 3) + nine("B", 3, states={(0.1, 102): "running"})))
    assert "chosen from 5 and 6 tuning runs" in items[0].reason


def test_what_is_not_compared_may_differ_and_one_number_made_of_two_choices_may_not(frame_of):
    def runs(a, b, batch):
        counts = {"A": a, "B": b}
        return [
            replace(run, labels=run.labels | {"batch": batch}, info={TRIALS: counts[run.value("method")]})
            for run in judged(frame_of(nine("A", 3) + nine("B", 3))).runs
        ]

    claim = Claim(
        "A beats B", "", "ours", Side("A", {"method": "A"}), (Side("B", {"method": "B"}),), ACCURACY, match=("batch",)
    )
    frame = frame_of(nine("A", 3) + nine("B", 3))
    by_batch = replace(frame, runs=runs([6], [6], 32) + runs([4], [4], 64))
    assert judge(by_batch, [claim])[0].reason == ""
    mixed = replace(frame, runs=runs([6, 4], [6, 4], 32))
    assert "from 4 and 6 tuning runs" in judge(mixed, [claim])[0].reason
    first, second = runs([6], [4], 32)[0], runs([6], [4], 32)[-1]
    assert together(first, second).info[TRIALS] == [6, 4]
