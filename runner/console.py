"""Where commands print: results and progress to the standard output, warnings to the standard error."""

from __future__ import annotations

from rich.console import Console

OUT = Console(highlight=False, markup=False)  # a name such as [red] is a name
if not OUT.is_terminal:  # into a file or a pipe: nothing is cut to a width
    OUT.width = 10_000
ERR = Console(stderr=True, highlight=False, markup=False)
