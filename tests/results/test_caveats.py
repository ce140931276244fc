"""What runs say of themselves stands under tables and verdicts."""

import math
from dataclasses import replace

import numpy as np
import pytest

from batchlab.results.axes import CONTENDED
from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.curves import curves
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import load_table
from batchlab.results.show.claims_sheet import claims_sheet, undecided_by_shared_times
from batchlab.results.show.plot import Plot
from batchlab.results.show.table_sheet import table_sheet

SIDES = Side("Adam", {"optimizer": "adam"}), (Side("SHB", {"optimizer": "shb"}),)


def fill(lab, curve, **info):
    for optimizer, level in (("shb", 0.8), ("adam", 0.9)):
        for seed in range(4):
            rows = curve([0.1, level + 0.01 * seed + 0.001 * (seed == 2)])
            run = lab.run(f"{optimizer}{seed}", rows, optimizer=optimizer, seed=seed)
            run.write_state(**{key: value[seed] for key, value in info.items()})
    return load(lab.store)


def judged(frame, metric="test_accuracy", at=None):
    (item,) = judge(frame, [Claim("Adam is better", "", "ours", *SIDES, Metric.parse(metric), at=at)])
    return item


@pytest.mark.parametrize(
    ("metric", "at"),
    [("test_accuracy", "seconds"), ("seconds_to:test_accuracy>=0.5", None), ("train_seconds", None),
     ("test_accuracy@seconds<=0.5", None)],
)  # fmt: skip
def test_times_of_a_busy_machine_decide_nothing(lab, curve, metric, at):
    item = judged(fill(lab, curve, contention=[1.0, 1.1, 1.7, 1.3]), metric, at)
    assert item.verdict is Verdict.UNDECIDED
    assert item.reason == "measured on a busy machine (wall over processor time up to 1.7)"
    assert item.comparisons
    row = claims_sheet([item]).rows[0]
    assert item.reason in row[-1].detail
    assert row[4].text == ""


def test_but_everything_else_does(lab, curve):
    frame = fill(lab, curve, contention=[1.0, 1.1, 1.7, None])
    assert judged(frame).verdict is Verdict.HOLDS
    assert judged(frame, at="steps").verdict is Verdict.HOLDS


@pytest.mark.parametrize("contention", [[1.0, CONTENDED, 1.1, 1.0], [None] * 4])
def test_times_of_a_machine_of_ones_own_decide(lab, curve, contention):
    assert judged(fill(lab, curve, contention=contention), at="seconds").verdict is Verdict.HOLDS


def test_a_claim_on_a_busy_machine_is_in_no_family(lab, curve):
    frame = fill(lab, curve, contention=[1.7] * 4)
    claims = [Claim("t", "", "ours", *SIDES, Metric.parse(m)) for m in ("train_seconds", "test_accuracy")]
    timed, other = judge(frame, claims)
    assert (timed.family, other.family) == (0, 1)


TOGETHER = (
    "4 of these runs trained together: their seconds are shares of a group's, to compare times train with --fuse off"
)
TIMES = ["train_seconds", "seconds_to:test_accuracy>=0.5", "test_accuracy@seconds<=0.5"]


@pytest.mark.parametrize("metric", TIMES)
def test_times_that_runs_share_have_no_spread_and_no_test(lab, curve, metric):
    fill(lab, curve, fused=[16, 16, None, 1])
    made = load_table(lab.store, metrics=[metric, "test_accuracy"], baseline="optimizer=shb")
    for (_, _, asked), cell in made.cells.items():
        timed, summary = str(asked) == metric, cell.summary
        assert (summary.n, cell.shared) == (4, timed)
        assert [math.isnan(number) for number in (summary.std, summary.low, summary.high)] == [timed] * 3
        assert not (timed and (cell.best or cell.test))
    assert any(cell.test for cell in made.cells.values())
    assert any(cell.best for cell in made.cells.values())
    sheet = table_sheet(made)
    assert sheet.notes.count(TOGETHER) == 1
    assert not any("±" in row[1].text or "[" in row[1].detail for row in sheet.rows)
    assert all("±" in row[2].text for row in sheet.rows)
    assert {record["metric"] for record in sheet.records if math.isnan(record["std"])} == {metric}


def test_a_table_without_times_has_no_word_of_it(lab, curve):
    fill(lab, curve, fused=[16] * 4)
    assert not any("together" in note for note in table_sheet(load_table(lab.store)).notes)


def test_why_a_time_is_not_tested(lab, curve):
    fill(lab, curve, fused=[16] * 4)
    made = load_table(lab.store, metrics=["train_seconds"], baseline="optimizer=shb")
    notes = table_sheet(made).notes
    assert notes[:2] == [
        "mean over n = 4 seeds", "no p against optimizer=shb: a time that runs share is not tested"
    ]  # fmt: skip


@pytest.mark.parametrize(("metric", "at"), [("test_accuracy", "seconds"), *((metric, None) for metric in TIMES)])
def test_times_that_runs_share_decide_nothing(lab, curve, metric, at):
    item = judged(fill(lab, curve, fused=[16, 16, None, 1]), metric, at)
    assert (item.verdict, item.reason) == (Verdict.UNDECIDED, TOGETHER)
    sheet = claims_sheet([item])
    (row,), (record,) = sheet.rows, sheet.records
    assert row[3].text
    assert "[" not in row[3].text
    assert row[4].text == ""
    assert all(math.isnan(record[key]) for key in ("ci_low", "ci_high", "p_holm"))
    assert TOGETHER in row[-1].detail
    said = "2 claims about time are not decided because their runs trained together"
    assert undecided_by_shared_times([item, item]) == said
    assert undecided_by_shared_times([item]) == said.replace("2 claims", "1 claim").replace(
        "are not", "is not"
    ).replace("their", "its")


def test_what_is_said_of_undecided_claims_is_of_shared_times_alone(lab, curve):
    frame = fill(lab, curve, contention=[1.7] * 4)
    busy = judged(frame, "train_seconds")
    assert (busy.verdict, undecided_by_shared_times([busy])) == (Verdict.UNDECIDED, "")
    other = judged(replace(frame, runs=[replace(run, info={"fused": 16}) for run in frame.runs]))
    assert undecided_by_shared_times([replace(other, verdict=Verdict.UNDECIDED)]) == "", "accuracies"


def test_a_factor_that_runs_share_is_the_plain_one(frame_of):
    runs = [
        ({"optimizer": o, "seed": s}, {"train_seconds": 2.0 if o == "adam" else 4.0}, "done", {"fused": 2})
        for o in ("adam", "shb")
        for s in range(3)
    ]
    assert claims_sheet([judged(frame_of(runs), "train_seconds")]).rows[0][3].text == "× 0.5"


def test_a_line_over_seconds_that_runs_share_has_no_band(lab, curve):
    frame = fill(lab, curve, fused=[16, 16, None, 1])
    for clock, shared in (("seconds", True), ("samples", False)):
        drawn = curves(frame, Metric("test_accuracy"), clock, "optimizer", log=False)
        assert all(np.isnan(line.low).all() == np.isnan(line.high).all() == shared for line in drawn)
        plot = Plot(frame, Metric("test_accuracy"), (clock,))
        assert plot.notes.count(f"{TOGETHER}; no interval there") == shared
        assert ("no interval there" in plot.svg()) == shared
    assert np.isnan(curves(frame, Metric("train_seconds"), "steps", "optimizer", log=False)[0].low).all()


def test_what_batchnorm_saw_is_said(lab, curve):
    frame = fill(lab, curve, batchnorm_part=[512, 512, 512, None], largest_batch=[1442, 1000, 512, 4000])
    note = "BatchNorm saw parts of 512 of batches of up to 1,442: their gradient is another than the whole batch's"
    assert note in table_sheet(load_table(lab.store)).notes
    assert note in claims_sheet([judged(frame)]).notes


def test_whole_batches_need_no_word(lab, curve):
    frame = fill(lab, curve, batchnorm_part=[512] * 4, largest_batch=[512] * 4)
    assert not any("BatchNorm" in note for note in table_sheet(load_table(lab.store)).notes)
    assert not any("BatchNorm" in note for note in claims_sheet([judged(frame)]).notes)


@pytest.mark.parametrize(
    ("metric", "word"), [("max:test_accuracy", "max"), ("min:test_accuracy", "min"), ("test_accuracy", None),
                         ("steps_to:test_accuracy>=0.5", None)],
)  # fmt: skip
def test_a_choice_on_test_data_is_said(lab, curve, metric, word):
    frame = fill(lab, curve)
    for sheet in (table_sheet(load_table(lab.store, metrics=[metric])), claims_sheet([judged(frame, metric)])):
        notes = [note for note in sheet.notes if "picks its evaluation on the test set" in note]
        assert [note.partition(" ")[0] for note in notes] == ([word] if word else [])
        assert all("dataset.validation=0.1" in note for note in notes)
