"""The standard streams as a command or a launched process needs them, whatever it was started with. Standard library.

A stream may be closed (a daemon's, `2>&-`), in an encoding without our letters (`PYTHONIOENCODING=ascii`, an old
locale), a pipe whose reader has left (`| head`), or a file without room. None of that is a reason to lose a run.
"""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TextIO

from typing_extensions import override

lost: list[str] = []
"""Why something could not be written, other than that nobody reads it."""


class Descriptor(io.FileIO):
    """A descriptor to write to; after the first failure (no reader, no room, no terminal) all goes nowhere."""

    @override
    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                lost.append(str(error.strerror))
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)  # type: ignore[arg-type]


def prepare() -> None:
    """Open the standard streams that are closed, and let none of them fail for a letter or for a reader that has left.

    A closed descriptor cannot be left alone: the next file that is opened would get its number, and would then be
    printed into, by this process or by one that it starts. A width that is none is taken out of the environment.
    """
    for size in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        if not re.fullmatch("[1-9][0-9]{0,4}", os.environ.get(size, "80")):
            del os.environ[size]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(number):
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        if number and stream is getattr(sys, f"__{name}__"):  # not where a test or a notebook has put its own
            setattr(sys, name, _lasting(stream, number, "replace" if name == "stdout" else "backslashreplace"))


def _lasting(stream: TextIO, number: int, errors: str) -> TextIO:
    stream.flush()
    buffer = io.BufferedWriter(Descriptor(number, "wb", closefd=False))
    lines = getattr(stream, "line_buffering", True)
    through = getattr(stream, "write_through", False)
    return io.TextIOWrapper(
        buffer, encoding=stream.encoding, errors=errors, line_buffering=lines, write_through=through
    )


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
