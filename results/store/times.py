"""When the commands of a sweep ran, on how many places: a line each in `.times/<sweep>.jsonl`. Standard library only.

A run says itself where its time went (`seconds` of run.json); what its command did before it, and which places had
nothing to do, no run can say. A command that is killed leaves no line, and its time is not known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from batchlab.results.store.lines import line_of, read_lines
from batchlab.results.store.runs import RunStore, check_name
from batchlab.results.store.shapes import finite, has, listed, text, whole

FOLDER = ".times"


@dataclass(frozen=True)
class Session:
    """What one command did for a sweep.

    Attributes:
        began: When, as `run.now` has it.
        wall: Seconds that it took.
        before: How many of them passed before its first run could be started: composing, checking.
        places: How many runs of one rank could be trained at a time; None where the engine does not say.
        idle: Seconds that places had nothing to do after that, all places together; None as above.
        runs: Those that ended, by identity.
        tried: Seconds of places for groups whose runs were then trained alone.
        command: Who it was, as run.json names it; empty where it does not.
    """

    began: str
    wall: float
    before: float
    places: int | None = None
    idle: float | None = None
    runs: list[str] = field(default_factory=list)
    tried: float = 0.0
    command: str = ""


def _none_or(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


SESSION = has(
    {
        **dict.fromkeys(("began", "command"), text),
        **dict.fromkeys(("wall", "before", "tried"), finite),
        "places": _none_or(whole),
        "idle": _none_or(finite),
        "runs": listed(text),
    },
    *("began", "wall", "before", "runs"),
)


def add_session(store: RunStore, sweep: str, session: Session) -> None:
    """Add a line to what is known of a sweep.

    Raises:
        OSError: It cannot be written.
    """
    path = _path(store, sweep)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(line_of(asdict(session)))


def sessions(store: RunStore, sweep: str | None = None) -> tuple[list[Session], list[str]]:
    """What is known of a sweep, or of all, the earliest first; and a line for each file that is damaged."""
    paths = [_path(store, sweep)] if sweep is not None else sorted((store.root / FOLDER).glob("*.jsonl"))
    found: list[Session] = []
    problems = []
    for path in paths:
        try:
            lines = read_lines(path)
            values = [json.loads(line) for line in lines.rows]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{path} is damaged ({error}): delete it, and its times are not known")
            continue
        good = [value for value in values if SESSION(value)]
        found += [
            Session(**{name: value[name] for name in Session.__dataclass_fields__ if name in value}) for value in good
        ]
        if lines.damage or len(good) < len(values):
            problems.append(f"{path} is damaged ({lines.damage or 'not what it should be'}): times are missing")
    return sorted(found, key=lambda session: session.began), problems


def _path(store: RunStore, sweep: str) -> Path:
    check_name(sweep)
    return store.root / FOLDER / f"{sweep}.jsonl"
