"""What a sweep prints: how many runs are left, and how it ended."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from batchlab.results.store.run import RunState, State
from batchlab.results.store.runs import RunStore
from batchlab.results.words import duration
from batchlab.runner.display import Active, Display
from batchlab.runner.plan.config import Planned


def display(width: int = 200) -> tuple[Display, io.StringIO]:
    file = io.StringIO()
    return Display(Console(file=file, width=width), live=False), file


@pytest.mark.parametrize(
    ("total", "done", "left", "said"),
    [
        (1, 0, 1, "1 run: 1 to go"),
        (12, 3, 9, "12 runs: 3 done already, 9 to go"),
        (3, 1, 0, "3 runs: 1 done already, 2 left alone, 0 to go"),
        (1200, 0, 1200, "1,200 runs: 1,200 to go"),
    ],
)
def test_the_first_line_adds_up(total: int, done: int, left: int, said: str) -> None:
    shown, file = display()
    shown.begin(total, done, left)
    assert file.getvalue() == f"{said}\n"


def test_the_last_line_counts_no_interrupted_run_as_over_and_promises_no_time() -> None:
    shown, _ = display()
    shown.begin(4, 0, 4)
    shown.counts.update({State.DONE: 1, State.FAILED: 1, State.INTERRUPTED: 1})
    assert shown.summary() == "2 of 4 runs  ·  1 failed  ·  1 interrupted  ·  0 s"


def test_nothing_left_is_said_so() -> None:
    shown, _ = display()
    shown.begin(2, 2, 0)
    assert shown.summary() == "nothing to train"


@pytest.mark.parametrize(("width", "last"), [(80, "test accuracy 95.0%"), (150, "epoch 3  test accuracy 95.0%")])
def test_a_running_run_fits_the_terminal(width: int, last: str, tmp_path: Path) -> None:
    shown, file = display(width)
    planned = Planned("0123456789ab", {}, ("optimizer=shb", "batch_schedule=exponential", "seed=0"), {})
    run = RunStore(tmp_path).run(planned.run_id)
    shown.active[run.run_id] = Active(planned, run, 0.0, "epoch 3  test accuracy 95.0%", 0.5)
    shown.console.print(shown)
    line = file.getvalue().splitlines()[0]
    assert line.startswith("0123456789ab  ")
    assert ("shb exponential seed=0" if width < 120 else "optimizer=shb batch_schedule=exponential") in line
    assert line.rstrip().endswith(f"  {last}")


def test_two_runs_show_what_differs_between_them(tmp_path: Path) -> None:
    """Their names alone would be cut before it."""
    shown, file = display(80)
    for i, rate in enumerate((0.05, 0.1)):
        overrides = ("optimizer=shb", f"optimizer.lr={rate}", "batch_schedule=exponential", "seed=0")
        planned = Planned(f"{i:012x}", {}, overrides, {})
        shown.active[planned.run_id] = Active(
            planned, RunStore(tmp_path).run(planned.run_id), 0.0, "test loss 0.1", 0.5
        )
    shown.console.print(shown)
    lines = file.getvalue().splitlines()
    assert [line.split()[2] for line in lines[:2]] == ["lr=0.05", "lr=0.1"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("width", "said"), [(80, "shb lr=0.1 seed=0"), (160, "optimizer=shb optimizer.lr=0.1 seed=0")])
def test_the_line_of_a_run_that_is_done_says_what_came_of_it(width: int, said: str, tmp_path: Path) -> None:
    shown, file = display(width)
    shown.live = True
    planned = Planned("0123456789ab", {}, ("optimizer=shb", "optimizer.lr=0.1", "seed=0"), {})
    run = RunStore(tmp_path).run(planned.run_id)
    run.folder.mkdir(parents=True)
    pq.write_table(pa.table({"epoch": [1, 2], "test_accuracy": [0.5, 0.9412], "train_loss": [1.0, 0.1]}), run.metrics)
    shown.started(planned, run, False)
    shown.ended(planned, run, RunState(State.DONE))
    (line,) = file.getvalue().splitlines()
    assert "  test_accuracy 94.1 %  " in line
    assert line.endswith(said)
    assert len(line) <= width
    run.metrics.write_bytes(b"lost")
    shown.started(planned, run, False)
    shown.ended(planned, run, RunState(State.DONE))
    assert said in file.getvalue().splitlines()[1], "what cannot be read is left to tables"


def test_more_runs_than_lines_are_counted(tmp_path: Path) -> None:
    shown, file = display()
    shown.console.height = 10
    for i in range(20):
        planned = Planned(f"{i:012x}", {}, (f"seed={i}",), {})
        shown.started(planned, RunStore(tmp_path).run(planned.run_id), False)
    file.truncate(0)
    shown.console.print(shown)
    text = file.getvalue()
    assert "seed=5" in text
    assert "seed=6" not in text
    assert "and 14 more runs" in text


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (185, "3 min 05 s"), (7810, "2 h 10 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_tried_again_or_given_up_is_counted_once(tmp_path: Path) -> None:
    shown, file = display()
    plans = [Planned(f"{i:012x}", {}, (f"seed={i}",), {}) for i in range(2)]
    shown.begin(2, 0, 2)
    for planned in plans:
        shown.started(planned, RunStore(tmp_path).run(planned.run_id), resumed=False)
        shown.ended(planned, RunStore(tmp_path).run(planned.run_id), RunState(State.PENDING, "failed (why): again"))
    assert shown.summary() == "0 of 2 runs  ·  0 s"
    shown.counts.update({State.RUNNING: 0})
    assert shown.summary() == "0 of 2 runs  ·  0 s"
    shown.ended(plans[0], RunStore(tmp_path).run(plans[0].run_id), RunState(State.FAILED, "why: not tried again"))
    assert shown.summary() == "1 of 2 runs  ·  1 failed  ·  0 s"
    assert "elsewhere" not in file.getvalue()


def bunch(shown: Display, root: Path, n: int) -> list[Planned]:
    """So many runs that train together, half of each done."""
    plans = [Planned(f"{i:012x}", {}, ("optimizer.lr=0.1", f"seed={i}"), {}) for i in range(n)]
    shown.begin(n, 0, n)
    shown.close()  # nobody redraws it beside us
    shown.together(plans)
    for planned in plans:
        shown.started(planned, RunStore(root).run(planned.run_id), False)
        shown.active[planned.run_id].done = 0.5
        shown.active[planned.run_id].last = "epoch 3  test accuracy 95.0%"
        shown.partial += 0.5
    return plans


@pytest.mark.parametrize("width", [80, 160])
def test_runs_that_train_together_are_one_line_of_a_terminal(width: int, tmp_path: Path) -> None:
    shown, file = display(width)
    shown.live = True
    bunch(shown, tmp_path, 64)
    file.truncate(0)
    shown.console.print(shown)
    line, last, *_ = (text.lstrip("\0") for text in file.getvalue().splitlines())
    assert line.startswith("64 together ")
    assert "optimizer.lr=0.1 seed=0…63" in line
    assert line.rstrip().endswith("epoch 3")
    assert len(line) <= width
    assert last.startswith("0 of 64 runs")


def test_how_they_ended_is_a_line_for_each_way(tmp_path: Path) -> None:
    shown, file = display()
    shown.live = True
    plans = bunch(shown, tmp_path, 64)
    file.truncate(0)
    for i, planned in enumerate(plans):
        run = RunStore(tmp_path).run(planned.run_id)
        state = RunState(State.DONE) if i < 40 else RunState(State.DIVERGED, f"lost at step {i}")
        shown.ended(planned, run, state if i < 62 else RunState(State.FAILED, "of its own"))
    lines = [" ".join(text.lstrip("\0").split()) for text in file.getvalue().splitlines()]
    assert lines == [
        "40 runs done 0 s optimizer.lr=0.1 seed=0…39",
        "22 runs diverged 0 s optimizer.lr=0.1 seed=40…61",
        "lost at step 40 (and more of the kind)",
        *("00000000003e failed 0 s optimizer.lr=0.1 seed=62", "of its own"),
        *("00000000003f failed 0 s optimizer.lr=0.1 seed=63", "of its own"),
    ]
    assert shown.counts == {State.DONE: 40, State.DIVERGED: 22, State.FAILED: 2}
    assert shown.partial == pytest.approx(0)


def test_where_output_is_no_terminal_every_run_has_its_lines(tmp_path: Path) -> None:
    shown, file = display()
    for planned in bunch(shown, tmp_path, 4):
        shown.ended(planned, RunStore(tmp_path).run(planned.run_id), RunState(State.DONE))
    assert sum("  started  " in line for line in file.getvalue().splitlines()) == 4
    assert sum("  done  " in line for line in file.getvalue().splitlines()) == 4


def test_runs_that_come_back_are_not_said_to_have_ended(tmp_path: Path) -> None:
    shown, file = display()
    shown.live = True
    plans = bunch(shown, tmp_path, 4)
    file.truncate(0)
    for planned in plans:
        shown.ended(planned, RunStore(tmp_path).run(planned.run_id), RunState(State.PENDING))
    assert not file.getvalue().strip("\0")
    assert not shown.active
    assert not shown.bunches
    assert shown.partial == pytest.approx(0)
    shown.started(plans[0], RunStore(tmp_path).run(plans[0].run_id), False)
    shown.ended(plans[0], RunStore(tmp_path).run(plans[0].run_id), RunState(State.DONE))
    assert "000000000000  done" in file.getvalue()
