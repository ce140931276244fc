"""Archives read as the folder of runs that they were, which is gone when the reading is over.

What is unpacked lies in the system's temporary folder meanwhile, for this user alone. A reader that is killed leaves it
there, and the next one removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex

from batchlab.results.store import archive
from batchlab.results.store.atomic import remove_strays, temporary_of, writing
from batchlab.results.store.runs import RunStore
from batchlab.results.store.travel import mended
from batchlab.results.words import listing

OWN = "batchlab-archives-"
"""How the names of folders begin in which archives are unpacked."""


@dataclass(frozen=True)
class Unpacked(RunStore):
    """Runs of archives.

    Attributes:
        archives: What they are called.
        origin: Which archive a run is from, by identity.
    """

    archives: Sequence[Path] = ()
    origin: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The archives."""
        return listing(list(map(str, self.archives)))

    @property
    def lasting(self) -> bool:
        """False: it is gone when the reading is over."""
        return False

    def said(self, text: str) -> str:
        """A text with the archive's name for the folder's."""

        def named(found: re.Match[str]) -> str:
            run_id = found["run"] or ""
            there = self.origin.get(run_id)
            return f"{there or self.name}{f': {run_id}' if run_id else ''}"

        root = re.escape(str(self.root))
        return re.sub(rf"{root}(?:/(?P<run>[\w.-]+))?", named, mended(text))


def paths_of(given: Iterable[Path]) -> list[Path]:
    """Archives, and those of folders of archives, each once.

    Raises:
        ValueError: One that is not there, a folder that has none.
    """
    found: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            there = sorted(one for one in path.iterdir() if one.name.endswith(archive.SUFFIX))
            if not there:
                raise ValueError(
                    f"there is no archive (*{archive.SUFFIX}) in {path}: `batchlab runs pack` makes one, and --runs "
                    "reads a folder of runs"
                )
            found |= dict.fromkeys(there)
        elif not path.exists():
            raise ValueError(f"there is no archive {path}: `batchlab runs pack` makes one")
        else:
            found[path] = None
    return list(found)


def unpack(path: Path, folder: Path) -> RunStore:
    """Put what an archive holds into an empty folder.

    Raises:
        ValueError: Naming the archive and what is wrong with it, or that there is no room.
    """
    folder.mkdir()
    for name, content in archive.members(path):
        parent, _, _ = name.rpartition("/")
        (folder / parent).mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    store = RunStore(folder)
    for name in store.sweeps():  # the latest one is the latest again
        with contextlib.suppress(ValueError, OverflowError, OSError):
            made = datetime.fromisoformat(store.sweep(name).created).timestamp()
            os.utime(folder / ".sweeps" / f"{name}.json", (made, made))
    return store


@contextlib.contextmanager
def unpacked(given: Iterable[Path]) -> Iterator[list[tuple[Path, RunStore]]]:
    """Each archive as a store of its own, until the block ends.

    Args:
        given: Archives, and folders of archives.

    Raises:
        ValueError: As `paths_of` and `unpack`.
    """
    paths = paths_of(given)
    place = Path(tempfile.gettempdir())
    remove_strays(place, begins=f".{OWN}")
    folder = temporary_of(place / f"{OWN}{token_hex(8)}")
    try:
        with writing(folder, "make room there, or name another folder with TMPDIR"):
            folder.mkdir(mode=0o700)
            stores = [(path, unpack(path, folder / str(i))) for i, path in enumerate(paths)]
        yield stores
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def opened(given: Iterable[Path]) -> Iterator[Unpacked]:
    """Archives as one store to read, until the block ends. What reads a store reads it as well, plans included.

    >>> with opened([Path("results/reproduced")]) as store:  # doctest: +SKIP
    ...     reproduction = reproduce(store, "vrgd", "vrgd-desk")

    Args:
        given: Archives, and folders of archives.

    Raises:
        ValueError: As `unpacked`; or archives that differ in a run.
    """
    from batchlab.results.store.merge import put_together

    with unpacked(given) as stores:
        paths = [path for path, _ in stores]
        if len(stores) == 1:
            path, store = stores[0]
            yield Unpacked(store.root, paths, dict.fromkeys((run.run_id for run in store.runs()), path))
            return
        whole = RunStore(stores[0][1].root.parent / "all")
        whole.root.mkdir()
        origin = put_together(whole, stores)
        yield Unpacked(whole.root, paths, origin)
