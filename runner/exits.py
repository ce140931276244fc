"""What the exit code of the command says, and which line of a user's own an error came from. Standard library only."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from batchlab.runner.interrupts import INTERRUPTED as INTERRUPTED

FAILED = 1
"""Some run failed, or was cut off; or something went wrong after runs were started."""
WRONG = 2
"""The request was wrong, and nothing was started."""
begun: list[str] = []
"""Runs that this command has trained: from the first on, `WRONG` is no answer any more."""
HERE = Path(__file__).resolve().parents[1]
LIBRARIES = (str(HERE), str(Path(os.__file__).parent), "site-packages", "dist-packages")
"""What is in the path of files that are not the user's own."""


def wrong() -> int:
    """The exit code of an error that is the user's."""
    return FAILED if begun else WRONG


def own_line(error: BaseException) -> str:
    """`FILE:LINE` of the user's own code that an error came from, the innermost; empty where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in _frames(error) if not any(part in frame.filename for part in LIBRARIES)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def said(error: SystemExit) -> str:
    """Who called `sys.exit`, where nobody may: the innermost line that is neither batchlab's nor a library's."""
    frames = _frames(error)
    place = own_line(error) or (f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "somebody")
    code = "" if error.code is None else repr(error.code)
    return f"{place} ends the program (sys.exit({code})): raise an exception there"


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).exists()]


def nowhere(error: BaseException) -> str:
    """One line for who stands in a folder that somebody removed; empty for other errors."""
    if isinstance(error, FileNotFoundError) and error.filename is None:
        try:
            os.getcwd()
        except FileNotFoundError:
            return "the current folder was removed: change to one that is there"
    return ""
