"""Files that are either the old or the new one, never half of it: temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, put it on disk, then rename it to `path`.

    A reader sees the old or the new content whatever happens in between, power loss included. The temporary
    name holds the process id, so that two writers do not share one. What `write` raises is raised, and nothing is left
    behind.

    Args:
        path: The file to replace; it need not exist yet, its folder must.
        write: Is given the temporary file's path and writes it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` by `replace`."""
    replace(path, lambda temporary: _write(temporary, text))


def replace_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write `value` as JSON to `path` by `replace`.

    Args:
        path: The file to replace.
        value: What `json` can write, and what `plain` makes of the rest.
        durable: Whether to wait until it is on disk. Not so for progress, which is rewritten often.
    """
    text = json.dumps(value, indent=1, default=plain) + "\n"
    if durable:
        replace_text(path, text)
    else:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        _write(temporary, text)
        os.replace(temporary, path)


def remove_strays(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they replaced a file of this folder."""
    for path in folder.glob(".*.*"):
        writer = path.name.rpartition(".")[2]
        if writer.isdigit() and not _alive(int(writer)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, but there
        return True
    return True


@contextlib.contextmanager
def writing(path: Path, way_out: str) -> Iterator[None]:
    """Say in a user's words that something in this block could not be written.

    Args:
        path: What is written in the block.
        way_out: What a user can do about it.

    Raises:
        ValueError: Instead of an OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot write {path} ({error.strerror}): {way_out}") from error


def plain(value: Any) -> Any:
    """For `json.dumps(default=...)`: NumPy and torch scalars become numbers, paths become text."""
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")  # a folder's name may be no UTF-8


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
