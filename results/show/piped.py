"""A sheet as text for a file or a pipe: tables stay whole, bold is a star, and only prose is wrapped."""

from __future__ import annotations

from batchlab.results.show.layout import laid_out
from batchlab.results.show.sheet import Sheet


def piped(sheet: Sheet, *, wide: bool = False) -> str:
    """A sheet whose control characters are visible, as text.

    Args:
        sheet: What to print.
        wide: Whether notes stay in one line each too.
    """
    lines = laid_out(sheet, wide=wide)
    return "".join(f"{''.join(text for text, _ in line)}\n" for line in lines)
