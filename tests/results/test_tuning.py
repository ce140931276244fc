"""The learning rate of a method is chosen on the tuning seeds alone, within the reading's budget."""

import math
from dataclasses import replace

import pytest

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.tuning import Study

LOSS = Metric("train_loss")


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
