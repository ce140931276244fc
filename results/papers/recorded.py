"""Our own runs of the papers' comparisons, packed: trained once, and in the repository for everybody to read."""

from __future__ import annotations

from pathlib import Path

from batchlab.results.store.archive import SUFFIX
from batchlab.results.words import listing

FOLDER = Path(__file__).parent.parent / "reproduced"


def recorded() -> list[str]:
    """The sweeps of which an archive is here, `PAPER-SCALE`."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def archive_of(sweep: str) -> Path:
    """The archive of a recorded sweep.

    Args:
        sweep: `PAPER-SCALE`.

    Raises:
        ValueError: It is not recorded; with what is.
    """
    if sweep not in recorded():
        raise ValueError(f"{sweep} is not recorded; there is {listing(recorded()) or 'nothing yet'}")
    return FOLDER / f"{sweep}{SUFFIX}"
