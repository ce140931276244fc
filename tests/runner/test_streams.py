"""Standard streams that are closed, full, left by their reader, or without our letters: no run is lost, none hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import HANGS, TINY, Fleet, one
from shell import ENTRY, TRAIN, batchlab, only_state, redirected

from batchlab.results.store.run import State

FULL = Path("/dev/full")


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    done = batchlab(*TRAIN, cwd=tmp_path, prefix=redirected(closed))
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (0, State.DONE), state


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_of_the_torchrun_command(closed: str, tmp_path: Path) -> None:
    arguments = (*TRAIN, "nproc=2", "executor.launcher=torchrun")
    done = batchlab(*arguments, cwd=tmp_path, prefix=redirected(closed))
    state = only_state(tmp_path / "runs")
    assert (done.returncode, state.state) == (0, State.DONE), state


def test_a_closed_stream_s_number_is_nobody_s(tmp_path: Path) -> None:
    """A file that is opened later does not become the standard output or error of this process and of its children."""
    code = (
        "import subprocess, sys; from batchlab.runner import streams; streams.prepare()\n"
        "file = open('file', 'w'); print('lost'); print('lost', file=sys.stderr)\n"
        "subprocess.run(['sh', '-c', 'echo lost; echo lost >&2'], check=True); file.write('kept'); file.close()"
    )
    subprocess.run([*redirected("<&- >&- 2>&-"), sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [TRAIN, ("data", "list"), ("--help",)], ids=["train", "data", "help"])
def test_a_reader_that_has_left(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """`batchlab ... | true`: what is printed goes nowhere, the work is done."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as output:
        command = [*ENTRY, *arguments]
        done = subprocess.run(command, cwd=tmp_path, stdout=output, stderr=subprocess.PIPE, timeout=HANGS)
    assert (done.returncode, done.stderr) == (0, b"")
    if arguments is TRAIN:
        assert only_state(tmp_path / "runs").state is State.DONE


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [("data", "list"), ("--version",)], ids=["data", "version"])
def test_a_full_disk_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = batchlab(*arguments, cwd=tmp_path, prefix=redirected(f">{FULL}"))
    assert done.returncode == 1
    assert b"could not all be written (No space left on device)" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_letters_that_the_output_does_not_have(tmp_path: Path) -> None:
    code = "import sys; from batchlab.runner import streams; streams.prepare(); print('±'); print('±', file=sys.stderr)"
    for encoding, shown in {"ascii": b"?\n", "latin-1": b"\xb1\n", "utf-8": b"\xc2\xb1\n"}.items():
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        assert done.stdout == shown


OLD_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SAID = [
    *(("table", "--format", form) for form in ("rich", "markdown", "latex", "csv", "html")),
    *(("status",), ("plot",), ("report",), ("show",), ("show", "--axes"), ("data", "list"), ("table", "--help")),
    ("sweep", *TINY, "seed=0,1"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, OLD_LOCALE],
    ids=["ascii", "latin-1", "C"],
)
def test_every_command_prints_in_any_encoding(environment: dict[str, str], tmp_path: Path, fleet: Fleet) -> None:
    fleet.sweep(tmp_path / "rün", [one("seed=0"), one("seed=1")])
    for arguments in SAID:
        done = batchlab(*arguments, cwd=tmp_path, BATCHLAB_RUNS="rün", **environment)
        assert (done.returncode, done.stderr) == (0, b""), arguments
        assert done.stdout, arguments
    assert "±" in (tmp_path / "report.html").read_text(encoding="utf-8"), "files are UTF-8 whatever the terminal is"


@pytest.mark.parametrize("width", ["0", "-1", "wide", "²", ""])
def test_a_width_that_is_none(width: str, tmp_path: Path) -> None:
    plain = batchlab("--help", cwd=tmp_path, COLUMNS="80").stdout
    said = batchlab("--help", cwd=tmp_path, COLUMNS=width, LINES=width, TERMINAL_WIDTH=width)
    assert (said.returncode, said.stdout) == (0, plain)


def test_a_notebook_s_way_to_draw(tmp_path: Path, fleet: Fleet) -> None:
    fleet.train(tmp_path / "runs", one())
    done = batchlab("plot", cwd=tmp_path, MPLBACKEND="nonsense")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, OLD_LOCALE], ids=["ascii", "C"])
def test_errors_are_one_line_in_any_encoding(environment: dict[str, str], tmp_path: Path) -> None:
    done = batchlab("show", "ä=1", cwd=tmp_path, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(b"batchlab: ")
    assert done.stderr.count(b"\n") == 1
    assert b"codec" not in done.stderr
