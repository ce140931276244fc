"""Text to a width: broken at spaces, where it must be at the joints of a name, and within a word as the last resort."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

PROSE = 100
"""Columns of a note or a paragraph, on a wider terminal and in a pipe too: longer lines are hard to read."""
HANG = "  "
"""Before what goes on from the line above."""
WORD = r"\[[^\[\]\n]{0,40}\]\S*|\S+"
"""What stays in a line: a word, or an interval."""
COMMAND = rf"[^\s`]*`[^`\n]+`[^\s`]*|{WORD}"
"""In prose a command too, which is copied."""
JOINTS = r"(?<=[:,])", r"(?<=[_:,=/.])"
"""Where a word may be broken when nothing else helps: first where a reader pauses, then at every joint of a name."""


def cells(text: str) -> int:
    """How wide a text is on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def asked_width() -> int | None:
    """How wide the user says that everything is, in a pipe too; None: nothing is said."""
    said = os.environ.get("COLUMNS", "")
    return int(said) if re.fullmatch("[1-9][0-9]{0,4}", said) else None


def fitted(text: str, stream: TextIO) -> str:
    """A text as it is printed to a stream: wrapped at words where that is a terminal; in a pipe a line is a line."""
    width = None
    with suppress(OSError, ValueError):  # it is no terminal, or is closed
        terminal = os.get_terminal_size(stream.fileno()).columns
        width = asked_width() or terminal
    lines = text.split("\n")
    return "\n".join(part for line in lines for part in wrapped(line, width, HANG, whole=True)) if width else text


def wrapped(text: str, width: int, hang: str = "", *, whole: bool = False) -> list[str]:
    """The lines of a text.

    >>> wrapped("two words, three words", 12), wrapped("gradients_to:test_accuracy", 14)
    (['two words,', 'three words'], ['gradients_to:', 'test_accuracy'])
    >>> wrapped("see runs/sweep-4/plots.png, or `batchlab plot --x steps` again", 24, "  ", whole=True)
    ['see', '  runs/sweep-4/plots.png,', '  or', '`batchlab plot --x steps`', '  again']

    Args:
        text: Its own ends of lines stay.
        width: Of a line, at most.
        hang: Before every line but the first.
        whole: Whether no word and no command is broken: what is too wide for a line has one of its own, for the
            terminal to break, as what is copied from there is whole.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if cells(line) + (cells(hang) if lines else 0) <= width:
            lines.append(f"{hang if lines else ''}{line}")
            continue
        room = max(1, width - cells(hang))
        now = hang if lines else line[: len(line) - len(line.lstrip())] if whole else ""
        begun = False
        for space, word in _words(line, COMMAND if whole else WORD):
            for part in [word] if whole else _parts(word, room):
                gap = space if begun and part is not None else ""
                if begun and cells(now) + cells(gap) + cells(part) > width:
                    lines.append(now)
                    now, gap = hang if cells(hang) + cells(part) <= width else "", ""
                now, begun, space = f"{now}{gap}{part}", True, ""
        lines.append(now)
    return lines


def least(text: str, tier: int = 0) -> int:
    """The narrowest that a text becomes without breaking a word; at later tiers, breaking it at its joints.

    >>> least("test accuracy"), least("steps_to:loss<=1", 1), least("steps_to:loss<=1", 2)
    (8, 9, 6)
    """
    words = re.findall(WORD, text)
    if tier:
        words = [part for word in words for part in re.split(JOINTS[tier - 1], word)]
    return max(map(cells, words), default=0)


def _words(line: str, word: str) -> Iterator[tuple[str, str]]:
    """Each word, or interval, with the spaces before it."""
    for found in re.finditer(rf"(\s*)({word})", line):
        yield found[1], found[2]


def _parts(word: str, room: int) -> list[str]:
    """A word whole where there is room for it, else at its joints."""
    for joint in ("", *JOINTS):
        parts = re.split(joint, word) if joint else [word]
        if all(cells(part) <= room for part in parts):
            return parts
    return [piece for part in parts for piece in _folded(part, room)]


def _folded(text: str, room: int) -> Iterator[str]:
    piece = ""
    for letter in text:
        if piece and cells(piece + letter) > room:
            yield piece
            piece = ""
        piece += letter
    yield piece
