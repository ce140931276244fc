"""Who has a run, where a lock says it to this machine alone, or to nobody.

    owner    TOKEN PID BORN HOST

A lock of the kernel (`Run.hold`) is all that is needed where it works. Some shared file systems grant it to every host
at the same time. So who takes a run also creates this file, which can be created only once on any file system, and
keeps its time fresh as long as the run trains. What it costs is a small file for each start, and a change of its time
every `HEARTBEAT` seconds.

Who finds it there after the lock was granted looks whether its writer lives: on the same machine by its process; on
another one by whether its time changes. Without a sign of life for `LEASE` seconds the file is taken away, and whoever
still trains the run finds another token in it, or none, before it writes the next row or checkpoint, and stops.

Assumed of the file system: that a file can be created exclusively, that renaming is atomic, and that a file which is
opened anew shows what another host wrote before (close-to-open, as NFS has it). Of the hosts, that their clocks differ
by less than `LONG` seconds; where they do not, a taker only waits longer or shorter.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from batchlab.results.store.atomic import alive, temporary_of
from batchlab.results.store.regular import content_of, open_file

FILE = "owner"
HEARTBEAT = 5.0
"""Seconds from one sign of life to the next."""
LEASE = 3 * HEARTBEAT
"""Seconds without one after which a writer on another machine is taken for dead."""
LONG = 60.0
"""Seconds of age at which nobody waits for one."""
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Owner:
    """What the file says.

    Attributes:
        token: Of whoever took the run, drawn at random.
        process: Its id.
        born: When it started, as its kernel counts; `-` where that is not known.
        host: Which machine, since which start of it.
    """

    token: str
    process: int
    born: str
    host: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host.partition('/')[0]}"

    @property
    def text(self) -> str:
        """As it stands in the file."""
        return f"{self.token} {self.process} {self.born} {self.host}\n"


def take(folder: int) -> Owner | str:
    """Become the owner of a run whose lock was granted.

    Args:
        folder: The run's, an open descriptor.

    Returns:
        This process as its owner; or, in words, who has it.
    """
    mine = Owner(secrets.token_hex(8), os.getpid(), _born(os.getpid()) or "-", _here())
    for _ in range(ATTEMPTS):
        try:
            file = os.open(FILE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=folder)
        except FileExistsError:
            seen = _look(folder)
            if seen is None:
                continue
            if _lives(seen, folder):
                return str(seen.owner or "another process")
            if not _take_away(seen, folder):
                return "another process, since this moment"
            continue
        with os.fdopen(file, "w") as opened:
            opened.write(mine.text)
        return mine
    return "several processes in turn"


def leave(folder: int, mine: Owner) -> None:
    """Let go of a run; of one that another has taken nothing is changed.

    Args:
        folder: The run's, wherever it is now.
        mine: What `take` returned.
    """
    with contextlib.suppress(OSError):
        seen = _look(folder)
        if seen is not None and seen.owner == mine:
            os.unlink(FILE, dir_fd=folder)


def owner_of(folder: Path) -> Owner | None:
    """Who has a run now; None where nobody has.

    Raises:
        OSError: It cannot be told.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        return _parsed(content_of(folder / FILE).decode())
    return None


def lives(folder: Path) -> bool:
    """Whether a run's owner seems to live; asked without waiting, where the lock is free."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        seen = _look(descriptor)
        return seen is not None and _lives(seen, descriptor, patience=0.0)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def beating(tokens: Mapping[Path, str]) -> Iterator[None]:
    """Give signs of life until the block ends, for each run as long as it is its token's.

    Args:
        tokens: By the folders of the runs.
    """
    over = threading.Event()
    mine = dict(tokens)

    def beat() -> None:
        while mine and not over.wait(HEARTBEAT):
            for folder, token in list(mine.items()):
                with contextlib.suppress(OSError):
                    found = owner_of(folder)
                    if found is None or found.token != token:
                        del mine[folder]
                    else:
                        os.utime(folder / FILE)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The file as it was found: its owner, None where it is not readable, its content and its time."""

    owner: Owner | None
    content: str
    changed: float


def _look(folder: int) -> _Seen | None:
    """Open the file anew, which is what shows another host's changes; None where it is not there."""
    try:
        file = open_file(FILE, folder=folder)
    except FileNotFoundError:
        return None
    with file as opened:
        content = opened.read(1000).decode(errors="replace")
        changed = os.fstat(opened.fileno()).st_mtime
    with contextlib.suppress(ValueError):
        return _Seen(_parsed(content), content, changed)
    return _Seen(None, content, changed)


def _parsed(content: str) -> Owner:
    token, process, born, host = content.split()
    return Owner(token, int(process), born, host)


def _lives(seen: _Seen, folder: int, patience: float = LEASE) -> bool:
    owner = seen.owner
    if owner is not None and owner.host == _here():
        return _born(owner.process) == owner.born if owner.born != "-" else alive(owner.process)
    if abs(time.time() - seen.changed) > LONG:
        return False
    if not patience:
        return True
    until = time.monotonic() + patience
    while time.monotonic() < until:
        time.sleep(min(0.2, patience))
        now = _look(folder)
        if now is None:
            return False
        if (now.content, now.changed) != (seen.content, seen.changed):
            return True
    return False


def _take_away(seen: _Seen, folder: int) -> bool:
    """Remove the file of one that is dead; false where another took the run in this moment, who keeps it."""
    aside = temporary_of(Path(FILE)).name
    try:
        os.rename(FILE, aside, src_dir_fd=folder, dst_dir_fd=folder)
        with os.fdopen(os.open(aside, os.O_RDONLY, dir_fd=folder), errors="replace") as opened:
            same = opened.read(1000) == seen.content
        if not same:
            with contextlib.suppress(OSError):
                os.link(aside, FILE, src_dir_fd=folder, dst_dir_fd=folder)
        os.unlink(aside, dir_fd=folder)
    except FileNotFoundError:
        return True
    return same


@cache
def _here() -> str:
    """This machine, since it was started, and the processes' numbering: ids of others say nothing of ours."""
    parts = [socket.gethostname() or "?"]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            text = os.readlink(path) if path.endswith("pid") else Path(path).read_text()
            parts.append("".join(c for c in text.strip()[-14:] if c.isalnum()))
    return "/".join(parts).replace(" ", "_")


def _born(process: int) -> str | None:
    """When a process of this machine started, in ticks; None where there is none, or only its corpse."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
