"""`batchlab status`: states counted, reasons shown, runs that never started not forgotten."""

import pytest

from batchlab.results.show.render import FORMATS, render
from batchlab.results.show.status import read_status
from batchlab.results.store.run import State
from batchlab.results.store.runs import SweepEntry


def test_every_state_is_counted_in_order(lab, curve):
    lab.run("a", curve([0.1]))
    lab.run("b", curve([0.1]), "diverged", "train_loss is nan")
    lab.run("c", curve([0.1]), "failed", "RuntimeError: [boom]\nat line 3")
    lab.run("d", curve([0.1]), "interrupted")
    lab.run("e", curve([0.1]), "crashed")
    lab.run("f", curve([0.1])).state_file.write_text("{")
    entries = [SweepEntry(name, {}, [f"seed={i}"]) for i, name in enumerate("zca")]
    lab.store.write_sweep("s", entries)
    found = read_status(lab.store)
    assert found.counts == {
        State.DONE: 1,
        State.DIVERGED: 1,
        State.INTERRUPTED: 1,
        State.CRASHED: 1,
        State.FAILED: 1,
        State.DAMAGED: 1,
        State.PENDING: 1,
    }
    assert found.failed
    summary = "7 runs: 1 done, 1 diverged, 1 interrupted, 1 crashed, 1 failed, 1 damaged and 1 pending"
    assert found.summary() == summary
    counts, runs = found.sheets()
    assert summary in counts.title
    lines = {row[0].text: [cell.text for cell in row] for row in runs.rows}
    assert lines["c"] == ["c", "failed", "seed=1", "RuntimeError: [boom] at line 3"]
    assert "a" not in lines
    assert "delete" in lines["f"][3]
    assert any("3 runs left" in note for note in runs.notes)
    assert any("--retry" in note for note in runs.notes)
    for format in FORMATS:
        assert "[boom]" in render(runs, format).replace("\\", "")
    assert [run.run_id for run in read_status(lab.store, "s").runs] == ["z", "c", "a"]
    assert len(found.sheets(every=True)[1].rows) == 7


def test_advice_is_of_what_works(lab, curve):
    """Neither a damaged run nor one that was stopped at its timeout goes on as others do."""
    lab.run("a", curve([0.1])).state_file.write_text("{")
    found = read_status(lab.store)
    assert found.failed
    assert "--retry" not in render(found.sheets()[1], "csv") + " ".join(found.sheets()[1].notes)
    late = lab.run("b", curve([0.1]), "interrupted", "timeout after 4 s")
    with late.hold():
        late.write_state(timeout=4.0)
    assert read_status(lab.store).sheets()[1].notes == [
        "1 run stopped at a timeout: a longer --timeout, or --retry, goes on"
    ]
    lab.run("c", curve([0.1]), "interrupted")
    assert read_status(lab.store).sheets()[1].notes[0].startswith("1 run left: ")


def test_columns_that_say_nothing_are_left_out(lab, curve):
    lab.run("a", curve([0.1]), "interrupted")
    _, runs = read_status(lab.store).sheets()
    assert [column.header for column in runs.columns] == [("run",), ("state",)]
    assert [[cell.text for cell in row] for row in runs.rows] == [["a", "interrupted"]]
    lab.store.write_sweep("s", [SweepEntry("a", {}, ["optimizer.lr=1e-05"])])
    _, runs = read_status(lab.store).sheets()
    assert [column.header for column in runs.columns] == [("run",), ("state",), ("what",)]
    assert runs.rows[0][2].text == "optimizer.lr=1e-5"


def test_progress_of_running_runs(lab):
    run = lab.store.run("a")
    with run.hold():
        run.write_state(state="running")
        run.write_progress(samples=10)
        (found,) = read_status(lab.store).runs
        assert (found.state, found.progress) == (State.RUNNING, {"samples": 10})
        assert not read_status(lab.store).failed


def test_a_running_run_says_how_far_it_is(lab):
    run = lab.store.run("a")
    with run.hold():
        run.write_state(state="running")
        for progress, said in (
            ({"samples": 16118, "total": 288400}, "5.6 % of 288,400 samples"),
            ({"samples": 2.5, "total": 40.0, "unit": "passes"}, "6.2 % of 40 passes"),
            ({}, ""),
        ):
            run.write_progress(**progress)
            (row,) = read_status(lab.store).sheets()[1].rows
            assert [cell.text for cell in row] == ["a", "running", *([said] if said else [])]


def test_an_empty_store_says_what_to_do(lab):
    (sheet,) = read_status(lab.store).sheets()
    assert "batchlab sweep" in render(sheet, "rich")


def test_a_damaged_manifest_does_not_hide_the_runs(lab, curve):
    lab.run("a", curve([0.1]))
    lab.store.write_sweep("s", [])
    (lab.store.root / ".sweeps" / "s.json").write_text("{")
    assert read_status(lab.store).total == 1


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged"),
        (lambda path: path.write_bytes(b"PAR1"), "is damaged"),
        (lambda path: path.unlink(), "is missing"),
    ],
    ids=["emptied", "cut", "only its beginning", "missing"],
)
@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_whose_rows_are_gone_is_not_done(lab, curve, harm, why, earlier):
    run = lab.run("a", curve([0.1]))
    if earlier:  # versions that did not write down how large the files are
        run.write_state(sealed=None)
    assert read_status(lab.store).counts == {State.DONE: 1}
    harm(run.metrics)
    (found,) = read_status(lab.store).runs
    assert found.state is State.DAMAGED
    assert found.reason.startswith(f"{run.metrics} {why}: ")
    assert found.reason.endswith(f": delete {run.folder} to train the run again")
    assert read_status(lab.store).failed
