"""How the command ends: Ctrl-C at any moment, `sys.exit` in a user's module, errors after runs were started."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import HANGS, TINY, wait_until
from shell import batchlab, in_one_line, only_state

from batchlab.results.store.run import State
from batchlab.runner import commands, exits

MODEL = """
import os, sys
import torch

class Leaves(torch.nn.Linear):
    def __init__(self, shape, classes):
        super().__init__(shape[-1] * shape[-2], classes)

    def forward(self, x):
        if "RANK" in os.environ:  # while it trains, not where it is tried
            {leave}
        return super().forward(x.flatten(1))
"""
PROGRAM = (sys.executable, "-m", "batchlab")


def own_model(folder: Path, text: str) -> None:
    """A model beside the user's conf."""
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "leaves.yaml").write_text(
        "name: leaves\n_target_: my_model.Leaves\nshape: ${shape}\nclasses: ${classes}\n"
    )
    (folder / "my_model.py").write_text(text)


@pytest.mark.parametrize("text", ["import sys\nsys.exit(0)\n", MODEL.replace("super().__init__(", "sys.exit(0) or (")])
def test_a_module_that_exits_is_an_error_that_names_it(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own_model(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_model", raising=False)
    code, said = in_one_line("sweep", "model=leaves", "--dry-run", monkeypatch=monkeypatch, capfd=capfd)
    monkeypatch.delitem(sys.modules, "my_model", raising=False)
    assert code == 2
    assert said.startswith("batchlab: model=leaves: "), said
    assert f"{tmp_path / 'my_model.py'}:" in said
    assert "ends the program (sys.exit(0))" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leave", "launcher", "reason"),
    [
        ("sys.exit(0)", "fork", "my_model.py:11 ends the program (sys.exit(0))"),
        ("os._exit(0)", "torchrun", "ended as if all was well"),  # torchrun's agent within a process waits for ever
    ],
)
def test_a_model_that_exits_while_it_trains_has_failed(leave: str, launcher: str, reason: str, tmp_path: Path) -> None:
    own_model(tmp_path, MODEL.format(leave=leave))
    overrides = ("model=leaves", "dataset=digits", "train.device=cpu", f"executor.launcher={launcher}")
    done = batchlab("sweep", *overrides, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    state = only_state(tmp_path / "runs")
    assert state.state is State.FAILED
    assert reason in str(state.reason)


@pytest.mark.parametrize(
    ("raised", "begun", "code", "line"),
    [
        (OSError("no room"), [], 2, "batchlab: no room"),
        (OSError("no room"), ["run"], 1, "batchlab: no room"),
        (ValueError("no room"), ["run"], 1, "batchlab: no room"),
        (KeyboardInterrupt(), [], 130, ""),
        (SystemExit(0), ["run"], 1, "test_exits.py"),
    ],
)
def test_codes(
    raised: BaseException,
    begun: list[str],
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def status(name: str | None, runs: Path, *_: object) -> int:
        exits.begun.extend(begun)
        raise raised

    monkeypatch.setattr(commands, "status", status)
    ended, said = in_one_line("status", monkeypatch=monkeypatch, capfd=capfd)
    assert ended == code
    assert line in said
    exits.begun.clear()


def test_files_are_tidied_up_before_it_ends(tmp_path: Path) -> None:
    code = (
        "import os, signal, time; from batchlab.runner import interrupts; interrupts.answer_interrupts()\n"
        "with interrupts.tidying():\n    try:\n        os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "    finally: open('tidied', 'w').close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=HANGS)
    assert (done.returncode, done.stderr) == (130, b"batchlab: interrupted\n")
    assert (tmp_path / "tidied").exists()


def test_nothing_swallows_an_interrupt() -> None:
    code = (
        "from batchlab.runner import interrupts; interrupts.answer_interrupts(); print('on', flush=True)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=HANGS)
    assert (process.returncode, said) == (130, b"batchlab: interrupted\n")


def left(folder: Path) -> list[str]:
    """Processes that work in this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                found.append(entry.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_ctrl_c_at_any_moment(tmp_path: Path) -> None:
    """130 and a line, or the normal end; no orphan. While Python itself begins, nobody can answer but Python."""
    draw = random.Random(17)
    for attempt in range(40):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        command = [*PROGRAM, "sweep", *TINY, "seed=1,2"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        delay = draw.uniform(0, 4)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=HANGS)
        told = f"attempt {attempt}, after {delay:.3f} s: {process.returncode} {out!r} {said!r}"
        if b"Traceback" in said and b"cli.py" not in said:  # Python itself begins: nothing of ours is imported yet
            continue
        assert process.returncode in (0, 130, -signal.SIGINT), told
        assert said.count(b"\n") <= 1, told
        if process.returncode == 130 and b"stopping: runs write" not in out:
            assert said.endswith(b"batchlab: interrupted\n"), told
        wait_until(lambda folder=folder: not left(folder))
