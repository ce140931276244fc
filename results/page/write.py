"""Writes docs/results.md, its figures, and the parts of the README and of the papers' pages: `make results`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchlab.results.compare.load import load
from batchlab.results.page.page import block, page, paper_part, within
from batchlab.results.page.section import Recorded, place_of
from batchlab.results.papers.catalogue import known_papers, reproduce
from batchlab.results.papers.recorded import FOLDER
from batchlab.results.store.archive import SUFFIX
from batchlab.results.store.atomic import replace_text
from batchlab.results.store.runs import RunStore
from batchlab.results.store.unpacked import opened

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path("docs") / "results.md"
FIGURES = Path("docs") / "results"


def read(store: RunStore, paper: str, scale: str, digest: str = "") -> Recorded:
    """A recorded sweep, from a store that has it.

    Raises:
        ValueError: For a paper or a sweep that is not there.
    """
    name = f"{paper}-{scale}"
    made = reproduce(store, paper, name)
    frame = load(store, name, columns=())
    return Recorded(made, scale, made.first(), frame, store.sweep(name).notes, store.plan(name), digest)


def every(folder: Path = FOLDER) -> Iterator[Recorded]:
    """All recorded sweeps of the papers, by paper.

    Args:
        folder: Of their archives, `PAPER-SCALE.tar.xz`.

    Raises:
        ValueError: Naming an archive that cannot be read.
    """
    known = known_papers()
    found = {path.name.removesuffix(SUFFIX).rpartition("-")[::2]: path for path in folder.glob(f"*{SUFFIX}")}
    for (paper, scale), path in sorted(found.items()):
        if paper in known:
            with opened([path]) as store:
                yield read(store, paper, scale, digest_of(path))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, shortened: what the page and the figures say they were made from."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def texts(found: Sequence[Recorded], root: Path = ROOT) -> dict[Path, str]:
    """The page of results, the README and the papers' pages, by where they are.

    Raises:
        ValueError: A page without the marks.
    """
    there = {one.made.paper for one in found}
    made = {root / PAGE: page(found, [paper for paper in known_papers() if paper not in there])}
    parts = {root / "README.md": block(found)}
    for paper in known_papers():
        own = [one for one in found if one.made.paper == paper]
        if own or (root / PAGE.parent / place_of(paper)).exists():
            parts[root / PAGE.parent / place_of(paper)] = paper_part(own)
    return made | {path: within(path.read_text(encoding="utf-8"), part) for path, part in parts.items()}


def write(root: Path = ROOT, folder: Path = FOLDER) -> list[Path]:
    """Write the pages, their figures and the README's part; remove figures of what is recorded no more.

    Args:
        root: The checkout.
        folder: Of the archives.

    Returns:
        The files that were written.

    Raises:
        ValueError: An archive that cannot be read; a README without the marks.
    """
    found = list(every(folder))
    changed = texts(found, root)
    drawn = [
        one.front.figure.save(root / PAGE.parent / one.figure, said=one.origin)
        for one in found
        if one.front.figure is not None and one.drawable
    ]
    for path in (root / FIGURES).glob("*.png"):
        if path not in drawn:
            path.unlink()
    for path, text in changed.items():
        replace_text(path, text)
    return [*changed, *drawn]


def main() -> None:
    """Write all of it into the checkout, and say what was written."""
    try:
        files = write()
    except (OSError, ValueError) as error:  # no checkout, or an archive that cannot be read
        sys.exit(str(error))
    print("\n".join(str(path.relative_to(ROOT)) for path in files))


if __name__ == "__main__":
    main()
