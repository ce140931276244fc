"""What is printed for people at 80 columns: no word, no path and no command is broken."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest
from rich.text import Text

from batchlab.results.show.terminal import Terminal

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")
SPUN = re.compile(r"[\u2800-\u28ff] [^\u2800-\u28ff\n]*\.\.\.")
"""What stood there for a moment."""
RULES = re.compile(r"[─\s]+")
DIGITS = ("dataset=digits", "model=mlp", "train.epochs=1", "seed=0,1")
PAPERS = ("adadagrad", "dasvrda", "crossing", "sgdm_schedules", "vrgd")


def printed(*arguments: str, columns: int, cwd: Path) -> str:
    """What a command prints on a terminal of so many columns, its errors too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    done = subprocess.Popen(
        [sys.executable, "-m", "batchlab", *arguments],
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    done.wait()
    return SPUN.sub("", ESCAPES.sub("", said.decode()))


def words(text: str) -> list[str]:
    return RULES.sub(" ", text).split()


def broken(narrow: str, wide: str) -> list[str]:
    """Words of the one that the other does not have."""
    return sorted((Counter(words(narrow)) - Counter(words(wide))).keys() - set(words(wide)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "--name", "tm", *DIGITS, "optimizer=shb,adamw", "--dry-run"),
        ("table", "--metric", "steps_to:test_accuracy>=0.8", "--metric", "test_loss"),
        ("plot", "--hue", "seed"),
        ("status",),
        ("runs", "list"),
        ("runs", "list", "--sort", "nothing.of.the.kind", "--where", "optimizer=shb"),
        ("runs", "pack", "a-rather-long-name-of-an-archive-of-runs.tar.xz"),
        ("data", "list"),
        ("report",),
    ],
    ids=" ".join,
)
def test_commands(arguments: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-whose-name-is-long" / "and-another-one-whose-name-is-longer"
    folder.mkdir(parents=True)
    said = [printed("sweep", "--name", "tm", *DIGITS, "optimizer=shb,adamw", columns=80, cwd=folder)]
    assert "`batchlab status tm`" in said[0]
    narrow, wide = (printed(*arguments, columns=columns, cwd=folder) for columns in (80, 400))
    assert "…" not in narrow
    assert not broken(narrow, wide), narrow


def test_a_text_is_wrapped_at_words_and_what_is_copied_is_whole() -> None:
    path = "/a-folder" * 12
    said = f"sweep one in {path}: `batchlab status one --runs {path}`, and then `batchlab table --sweep one`, or so"
    file = io.StringIO()
    console = Terminal(file=file, width=80, force_terminal=True, color_system="standard")
    console.print(Text(said, "yellow").append(" dimmed words", "dim"), soft_wrap=True)
    console.print(f"{said} dimmed words", style="bold")
    lines = ESCAPES.sub("", file.getvalue()).splitlines()
    assert lines[:4] == lines[4:], "whichever way it is printed"
    assert lines[:3] == ["sweep one in", f"{path}:", f"`batchlab status one --runs {path}`,"]
    assert lines[3:4] == ["  and then `batchlab table --sweep one`, or so dimmed words"]


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_recorded(paper: str, tmp_path: Path) -> None:
    arguments = ("reproduce", paper, "--scale", "desk", "--recorded")
    narrow, wide = (printed(*arguments, columns=columns, cwd=tmp_path) for columns in (80, 400))
    assert not broken(narrow, wide), narrow
