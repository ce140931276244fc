"""What a published data set says of itself, and how it becomes ready: the one declaration in its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from batchlab.datasets.files import Arrays, data_root, libsvm_file, writable, write_npz

Kind = Literal["packaged", "bundled", "published", "libsvm", "generated", "file"]
SOURCES: dict[Kind, str] = {
    "packaged": "comes with batchlab",
    "bundled": "bundled with scikit-learn",
    "published": "downloaded once (torchvision's address)",
    "libsvm": "LIBSVM collection; put the files into the data root",
    "generated": "generated when used",
    "file": "your file",
}
"""Where each kind of data set comes from, for listings; in the order of the listing."""


@dataclass(frozen=True)
class Entry:
    """A data set that can be named, and where it stands in a data root.

    Args:
        name: as in `dataset=NAME`; a file of the user's own is `dataset=npz dataset.file=NAME`.
        n: samples of the training split.
        n_test: samples of the test split.
        shape: of one sample, (C, H, W), (d,) or (T,).
        classes: number of classes; `None` for regression.
        kind: how it becomes ready. `packaged` with batchlab, `bundled` with scikit-learn, `published` files found or
            downloaded, `libsvm` text that the user puts there, `generated`, or the user's own `file`.
        original: where in the data root the original files are looked for.
        make: called with the entry and the data root to make the arrays that are then kept as NAME.npz; `None` where
            nothing is kept.
        where: what will be read; `None` when nothing is there yet.
        ready: usable without the network and without the user's doing anything.
        size: bytes on disk; `None` when nothing is there yet.
    """

    name: str
    n: int
    n_test: int
    shape: tuple[int, ...]
    classes: int | None
    kind: Kind
    original: str | None = None
    make: Callable[[Entry, Path], Arrays] | None = None
    where: Path | None = None
    ready: bool = False
    size: int | None = None

    @property
    def source(self) -> str:
        """`kind` in words, for listings."""
        return SOURCES[self.kind]

    def located(self, root: str | Path | None = None) -> Entry:
        """This entry with what the data root has of it."""
        if self.kind in ("packaged", "generated"):
            return replace(self, ready=True)
        folder = data_root(root)
        kept = self.make and folder / f"{self.name}.npz"
        for where in (kept, self.original and folder / self.original):
            if where and where.exists():
                files = [where] if where.is_file() else [file for file in where.rglob("*") if file.is_file()]
                return replace(self, where=where, ready=True, size=sum(file.stat().st_size for file in files))
        return replace(self, ready=self.kind == "bundled")

    def prepare(self, root: str | Path | None = None) -> Path | None:
        """Make the set ready, once, however many processes ask at the same time.

        Returns:
            The file that will be read: NAME.npz, or the LIBSVM file; `None` for a set that needs no file.

        Raises:
            ValueError: a file is missing, damaged, or cannot be downloaded or written.
        """
        folder = data_root(root)
        if self.make is None:
            return libsvm_file(self.original, folder) if self.original else None
        path = folder / f"{self.name}.npz"
        if path.is_file():
            return path
        from filelock import FileLock

        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f".{self.name}.lock")
            lock.acquire()
        try:
            if not path.is_file():  # another process may have been faster
                write_npz(path, self.make(self, folder))
        finally:
            lock.release()
        return path
