"""What a user types, or a file is called, is shown and does nothing to the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text
from shell import in_process

from batchlab.results.show.terminal import Terminal

CLEAR = "\x1b[2J\x1b]8;;http://evil.example\x07"


def test_a_consoles_texts_have_no_escapes_and_its_colours_stay() -> None:
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=True, color_system="standard", width=80)
    table = Table(CLEAR)
    table.add_row(Text(CLEAR, "red"))
    console.print(table)
    console.print(CLEAR, style="bold")
    console.print("[red] :bomb:")
    said = file.getvalue()
    assert "\x1b[2J" not in said
    assert "\x1b]8" not in said
    assert "\\x1b[2J" in said
    assert "\x1b[31m" in said
    assert "[red] :bomb:" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "--dry-run", f"optimizer={CLEAR}"),
        ("sweep", "--dry-run", f"optimizer='{CLEAR}'"),
        ("sweep", CLEAR),
        ("sweep", f"--{CLEAR}"),
        ("table", "--where", f"{CLEAR}=1"),
        ("status", CLEAR),
        (CLEAR,),
        ("show", f"+note='{CLEAR}'"),
        ("plot", "-o", f"{CLEAR}/x.png"),
    ],
    ids=lambda arguments: arguments[0] if arguments[0] != CLEAR else "command",
)
def test_an_error_says_a_word_and_writes_no_escape(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, out, err = in_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    assert out + err
