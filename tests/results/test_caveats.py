"""What runs say of themselves stands under tables and verdicts."""

import pytest

from batchlab.results.axes import CONTENDED
from batchlab.results.compare.claims import Claim, Side, Verdict
from batchlab.results.compare.judge import judge
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import load_table
from batchlab.results.show.claims_sheet import claims_sheet
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
