"""What has run out where a file cannot be written: named, with its file system and how much is free.

None of it is a fault of a run: it ends as if it was interrupted, and goes on once there is some again. The state of
such a run may be just what cannot be written, so that a process says so by its exit code.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KINDS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
OPEN_FILES = (errno.EMFILE, errno.ENFILE)
"""Without room for an open file nothing can be said of what is on disk."""
FIRST = 200
"""Exit code of a process for the first of these kinds; the others follow. No shell and no signal uses them."""
FEW = 16
"""Inodes that may be free again by the time when somebody asks, as what could not be written was removed."""
PROBE = 1 << 16
"""Bytes that are written to find out why a library could not."""


def found(error: BaseException | None) -> OSError | None:
    """What has run out, as the first such error among this one and its causes; None where nothing has."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in KINDS:
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def code_of(error: BaseException | None) -> int:
    """The exit code that tells of it; 0 where nothing has run out."""
    cause = found(error)
    return 0 if cause is None else FIRST + KINDS.index(cause.errno or 0)


def of_code(code: int) -> int:
    """The error number that an exit code tells of; 0 where it is another code."""
    return KINDS[code - FIRST] if FIRST <= code < FIRST + len(KINDS) else 0


def line(error: BaseException) -> str:
    """One line for an error, with the file that could not be written; empty where nothing has run out."""
    cause = found(error)
    if cause is None:
        return ""
    file = os.fsdecode(cause.filename) if isinstance(cause.filename, (str, bytes)) else ""
    named = f"cannot {'open' if cause.errno in OPEN_FILES else 'write'} {file}: " if file else ""
    return named + said(cause.errno or 0, Path(file).parent if file else Path())


def said(kind: int, folder: Path) -> str:
    """What has run out and what to do about it.

    Args:
        kind: One of `KINDS`.
        folder: Where something was to be written.
    """
    if kind == errno.EMFILE:
        return f"too many open files: this process may have {_limit()} of them, raise that with `ulimit -n`"
    if kind == errno.ENFILE:
        return "too many open files on this machine: close some programs, or raise fs.file-max"
    mount, free, size, files = _file_system(folder)
    if kind == errno.EROFS:
        return f"the file system at {mount} is read-only: mount it for writing, or choose a folder with --runs DIR"
    left = f"{_bytes(free)} of {_bytes(size)} free"
    if kind == errno.EDQUOT:
        return (
            f"the quota at {mount} is used up ({left} for everybody): remove files, or choose a folder with --runs DIR"
        )
    if 0 <= files < FEW:
        return f"no inode is left at {mount} ({left}): remove files, or choose a folder with --runs DIR"
    return f"the disk is full at {mount} ({left}): make room, or choose a folder with --runs DIR"


def now(folder: Path) -> str:
    """Why nothing can be written to a folder at this moment; empty where there is room."""
    _, free, size, files = _file_system(folder)
    return said(errno.ENOSPC, folder) if size and (free < PROBE or 0 <= files < FEW) else ""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an error of this block the name of the file that was written.

    Raises:
        OSError: As it was raised, with its file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in KINDS and error.filename != str(path):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def ask(path: Path) -> None:
    """Find out why a library could not write a file: its own words may say nothing of that.

    Args:
        path: Its name; it is removed.

    Raises:
        OSError: What has run out.
    """
    try:
        with open(path, "ab") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in KINDS:
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _file_system(folder: Path) -> tuple[Path, int, int, int]:
    """Where it is mounted, bytes that are free and all bytes, and inodes that are free (-1: it counts none)."""
    folder = Path(os.path.abspath(folder))
    while not folder.exists():
        folder = folder.parent
    mount = folder
    while not os.path.ismount(mount):
        mount = mount.parent
    with suppress(OSError):
        about = os.statvfs(folder)
        inodes = about.f_favail if about.f_files else -1
        return mount, about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize, inodes
    return mount, 0, 0, -1


def _bytes(number: int) -> str:
    """A size as people read it.

    >>> _bytes(0), _bytes(12_300), _bytes(5_000_000_000)
    ('0 bytes', '12 kB', '5 GB')
    """
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _limit() -> str:
    try:
        import resource
    except ImportError:  # not on Windows
        return "no more"
    return f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"
