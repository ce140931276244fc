"""What is slow to read is kept as arrays under ROOT/parsed, while the files that it was read from are the same."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from batchlab.datasets.files import Arrays, read_npz, write_npz


def parsed(
    root: Path, name: str, files: Sequence[Path], asked: object, keys: tuple[str, ...], read: Callable[[], Arrays]
) -> Arrays:
    """The arrays that `read` gives, read again only where a file's path, size or times differ, or what was asked for.

    Args:
        root: the data root. One that cannot be written costs the reading, every time.
        name: that the file begins with.
        files: what is read.
        asked: whatever else the arrays depend on; its `repr` counts.
        keys: of the arrays.
        read: makes them.
    """
    stats = [(str(file.resolve()), s.st_size, s.st_mtime_ns, s.st_ctime_ns) for file in files for s in (file.stat(),)]
    key = hashlib.sha256(repr((stats, asked)).encode()).hexdigest()[:12]
    kept = root / "parsed" / f"{name}-{key}.npz"
    try:
        return read_npz(kept, keys)
    except ValueError:  # not there yet, or damaged: the files are what counts
        arrays = read()
        with contextlib.suppress(ValueError):
            write_npz(kept, arrays)
        return arrays
