"""What a sweep prints: how many runs are left, and how it ended."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.display import Active, Display, duration
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
    assert "optimizer=shb" in line
    assert line.rstrip().endswith(f"  {last}")


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (185, "3 min 05 s"), (7810, "2 h 10 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
