"""Files that are either the old or the new one, never half of it: temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from batchlab.results.store import exhausted

STRAY_SECONDS = 3600
"""How long nothing is written to what a living process writes."""
BLOCK = 512
"""Bytes of what `stat` counts as one."""
SCRIBBLED = 256
"""Bytes of a file that is written over and over."""
NAMES = r"(?:run\.json|config\.yaml|progress|checkpoint\.pt|probe|removed\..+|\w+\.(?:parquet|jsonl))"
TEMPORARY = re.compile(rf"\..+\.(?P<host>h[0-9a-f]{{8}})\.(?P<process>\d+)|\.?{NAMES}\.(?P<writer>\d+)(?:\.tmp)?")
"""Names of `temporary_of`, and of earlier versions."""


def replace(path: Path, write: Callable[[Path], None], *, keep: Path | None = None, durable: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, put it on disk, then rename it to `path`.

    A reader sees the old or the new content whatever happens in between, power loss included. What `write` raises is
    raised, and nothing is left behind; of a writer that is killed, `remove_strays` removes it.

    Args:
        path: The file to replace; it need not exist yet, its folder must.
        write: Is given the temporary file's path and writes it.
        keep: What `path` was before is under this name afterwards; killed in between, it alone is there.
        durable: Whether to wait until it is on disk, some milliseconds. Without it nothing changes for who is killed;
            after a power loss the file may be empty. For what is written again soon, or is synced later.
    """
    temporary = temporary_of(path)
    with exhausted.named(path):
        try:
            write(temporary)
            if durable:
                sync(temporary)
            if keep is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(path, keep)
            os.replace(temporary, path)
        except BaseException as error:
            if isinstance(error, Exception) and exhausted.found(error) is None:
                exhausted.ask(temporary)  # a library's own words may not say that the disk is full
            with contextlib.suppress(OSError):  # of a file system that is read-only by now
                temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync(path.parent)


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` (UTF-8) to `path` by `replace`."""
    replace_bytes(path, _bytes(text), durable=durable)


def replace_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` to `path` by `replace`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    replace(path, write, durable=durable)


def replace_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write `value` as JSON to `path` by `replace`.

    Args:
        path: The file to replace.
        value: What `json` can write, and what `plain` makes of the rest.
        durable: Whether to wait until it is on disk.
    """
    replace_text(path, json.dumps(value, indent=1, default=plain) + "\n", durable=durable)


def scribble(path: Path, value: Any) -> None:
    """Write a small `value` as JSON over what a file holds, four times a second and more.

    To rename a file over another one waits for the disk on some file systems (ext4), for 2 to 10 ms. This takes 30 us;
    a reader may in principle see the one value's beginning and the other's end.

    Args:
        path: The file; it need not exist.
        value: What `json` can write, in `SCRIBBLED` bytes.
    """
    content = json.dumps(value, default=plain).encode().ljust(SCRIBBLED)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        if os.fstat(descriptor).st_size not in (0, len(content)):  # of an earlier version
            os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)


def overwrite(path: Path, content: bytes) -> bool:
    """Write `content` over a file in place, where no new one can be made; false where it needs more than its blocks.

    It is one write: who is killed has done it or not, unless the content is larger than a page of memory (4 kB).

    Args:
        path: The file.
        content: No shorter than the file is.
    """
    with path.open("r+b", buffering=0) as file:
        status = os.fstat(file.fileno())
        assert len(content) >= status.st_size, "the end of the old content would be left"
        if len(content) > BLOCK * status.st_blocks:
            return False
        os.pwrite(file.fileno(), content, 0)
        os.fsync(file.fileno())
    return True


def temporary_of(path: Path) -> Path:
    """A name beside `path` that no other process uses, of this host or another one."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}")


def remove_strays(folder: Path, begins: str = "") -> None:
    """Remove what processes left behind in a folder that were killed while they replaced or removed something there.

    Of a process of this host it is known whether it lives. What another host's left is a stray when nothing was written
    to it for an hour, by the clock of the file system.

    Args:
        folder: Where they were.
        begins: Only what has a name that begins so, in a folder that others use too.
    """
    strays = [stray for stray in _strays(folder) if stray[0].name.startswith(begins)]
    if not strays:
        return
    clock = temporary_of(folder / "clock")
    with contextlib.suppress(OSError):
        clock.touch()
        now = clock.lstat().st_mtime
        clock.unlink()
        for path, host, process in strays:
            left = host in ("", _host()) and not alive(process)
            with contextlib.suppress(OSError):
                if left or now - path.lstat().st_mtime > STRAY_SECONDS:
                    _remove(path)


def _strays(folder: Path) -> list[tuple[Path, str, int]]:
    """Temporary files and folders, with the host and the process that their names tell; earlier ones name no host."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, TEMPORARY.fullmatch(entry.name)) for entry in entries]
    except OSError:
        return []
    return [(folder / name, m["host"] or "", int(m["process"] or m["writer"])) for name, m in found if m]


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@cache
def _host() -> str:
    return "h" + hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def alive(process: int) -> bool:
    """Whether a process of this host is there, by its id, and does not only wait for its parent to hear of its end."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's, but there
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[:1]
    except OSError:  # gone meanwhile, or a system without
        return True
    return state not in ([b"Z"], [b"X"])


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
        raise ValueError(exhausted.line(error) or f"cannot write {path} ({error.strerror}): {way_out}") from error


def plain(value: Any) -> Any:
    """For `json.dumps(default=...)`: NumPy and torch scalars become numbers, paths become text."""
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # a folder's name may be no UTF-8


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
