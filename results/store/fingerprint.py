"""What a run was made of beside its configuration: files and packages, as run.json keeps them. Standard library only.

    "fingerprint": {"code: mine/steps.py": {"is": "3f9a1c...", "at": "/home/me/mine/steps.py"},
                    "data: wine.npz": {"is": "77b0e2...", "at": "/home/me/data/wine.npz"},
                    "package: torchvision": {"is": "0.26.0"}}

A run's identity is its configuration alone, so that it is the same on every machine and from version to version. This
stands beside it: where it differs from what there is now, the run is stale. `runner/plan/fingerprint.py` makes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import replace_json
from batchlab.results.store.run import FINISHED, State
from batchlab.results.words import count, listing

KEY = "fingerprint"
"""Of run.json."""
LARGE = 1 << 20
"""Bytes from which on a file's hash is kept from command to command."""
SETTLED = 2.0
"""Seconds that a file must be old for that: two changes within a tick of the file system's clock look like one."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that can change a number.

    Attributes:
        value: The hash of a file's content, or a package's version.
        path: Where the file was; empty for a package.
    """

    value: str
    path: str = ""


Fingerprint = dict[str, Part]
"""Parts by name: a kind (`code`, `data` or `package`), a colon, and what people call it."""


def recorded(info: Mapping[str, Any]) -> Fingerprint | None:
    """What run.json says; None for a run of before there were fingerprints, or one that nobody can read."""
    try:
        return {name: Part(str(part["is"]), str(part.get("at", ""))) for name, part in info[KEY].items()}
    except (KeyError, TypeError, AttributeError):
        return None


def as_json(parts: Fingerprint) -> dict[str, dict[str, str]]:
    """What run.json is given."""
    return {name: {"is": p.value} | ({"at": p.path} if p.path else {}) for name, p in sorted(parts.items())}


def package_version(name: str) -> str | None:
    """A distribution's version without what says for which hardware it was built; None where it is not installed."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


class Contents:
    """Hashes of files, each read once by an instance: what a command says of a file is one thing from end to end.

    Those of large files are kept in the cache folder, by path, size and times.
    """

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def digest(self, path: str | Path) -> str | None:
        """Of a file's content, 24 hexadecimal digits; None where it cannot be read."""
        key = str(path)
        if key not in self._known:
            try:
                self._known[key] = _digest(Path(key))
            except OSError:
                self._known[key] = None
        return self._known[key]

    def folder(self, path: str | Path) -> str | None:
        """Of all files below a folder, with their names."""
        key = f"{path}{os.sep}"
        if key not in self._known:
            files = sorted(file for file in Path(path).rglob("*") if file.is_file())
            lines = [f"{file.relative_to(path)} {self.digest(file)}" for file in files]
            self._known[key] = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24] if files else None
        return self._known[key]

    def now(self, name: str, part: Part) -> str | None:
        """What a part is now where it was recorded; None where that is not there any more."""
        kind, _, what = name.partition(": ")
        if kind == "package":
            return package_version(what)
        return self.folder(part.path) if os.path.isdir(part.path) else self.digest(part.path)


def drift(before: Fingerprint, contents: Contents) -> list[str]:
    """What became of a run's parts, looked for where they were when it was trained: `mine/steps.py has changed`.

    What is not there any more is passed over: runs may have been copied from another machine.
    """
    now = {name: contents.now(name, part) for name, part in before.items()}
    return [_said(name, part.value, now[name]) for name, part in before.items() if now[name] not in (None, part.value)]


def stale(runs: Iterable[tuple[State, Mapping[str, Any]]]) -> dict[str, int]:
    """How many runs were made of something else than what is there now, by what became of it.

    Args:
        runs: State and run.json of each. Only of those that have numbers, or go on from a checkpoint, it is asked.
    """
    contents = Contents()
    found: Counter[str] = Counter()
    for state, info in runs:
        counts = state in FINISHED or state in (State.INTERRUPTED, State.CANCELLED, State.CRASHED)
        if counts and (said := drift(recorded(info) or {}, contents)):
            found[listing(said)] += 1
    return dict(found)


def stale_lines(found: Mapping[str, int]) -> list[str]:
    """What to tell a reader of these runs.

    >>> stale_lines({"mine/steps.py has changed": 3})
    ['3 runs are stale: mine/steps.py has changed since they were trained']
    """
    lines = []
    for what, n in found.items():
        are, were = ("is", "it was") if n == 1 else ("are", "they were")
        lines.append(f"{count(n, 'run')} {are} stale: {what} since {were} trained")
    return lines


def differences(before: Fingerprint, now: Fingerprint, contents: Contents) -> list[str]:
    """What sets a run that there is apart from the same run if it was trained now.

    Args:
        before: What it was made of.
        now: What it would be made of. Of data only what can be named without reading it: the rest is looked for where
            it was.
        contents: Hashes.

    Returns:
        A phrase for each difference; none where there is none.
    """
    said = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        if name.startswith("data: "):
            value = None if old is None else new.value if new else contents.now(name, old)
            if old is not None and value not in (None, old.value):
                said.append(_said(name, old.value, value))
        elif old is None or new is None:
            what = name.partition(": ")[2]
            said.append(f"{what} is {'new in it' if old is None else 'no longer part of it'}")
        elif old.value != new.value:
            said.append(_said(name, old.value, new.value))
    return said


def _said(name: str, before: str, now: str | None) -> str:
    kind, _, what = name.partition(": ")
    return f"{what} is {now}, was {before}" if kind == "package" else f"{what} has changed"


def _digest(path: Path) -> str:
    stat = path.stat()
    if stat.st_size < LARGE:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:24]
    # the time of change too: whoever sets the time of modification back, as cp -p does, cannot set this one
    key = repr((str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    kept = _cache() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(kept.read_bytes())
        if isinstance(known, str):
            return known
    with open(path, "rb") as file:
        made = hashlib.file_digest(file, "sha256").hexdigest()[:24]
    if time.time() - max(stat.st_ctime, stat.st_mtime) > SETTLED:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs the reading, every time
            kept.parent.mkdir(parents=True, exist_ok=True)
            replace_json(kept, made, durable=False)
    return made


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "batchlab" / "digests"
