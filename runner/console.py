"""Where commands print: results and progress to the standard output, warnings to the standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from batchlab.results.show.terminal import Terminal
from batchlab.results.show.wrap import asked_width

OUT = Terminal()  # a name such as [red] is a name
ERR = Terminal(stderr=True)
for _console in (OUT, ERR):
    if not _console.is_terminal and not asked_width():  # into a file or a pipe: nothing is cut to a width
        _console.width = 10_000


@contextmanager
def busy(what: str, *, logged: bool = True) -> Iterator[None]:
    """Say at once what takes a moment. Nothing goes to the standard output inside the block.

    On a terminal it stands there until the block ends and leaves no trace.

    Args:
        what: is done, such as "checking 12 runs".
        logged: elsewhere it is a line of progress; False: nothing, as the output is an answer that somebody reads on.
    """
    if ERR.is_terminal and not ERR.is_dumb_terminal:
        from rich.live import Live
        from rich.spinner import Spinner

        shown = Spinner("dots", Text(f"{what} ...", overflow="ellipsis", no_wrap=True), style="dim")
        with Live(shown, console=ERR, refresh_per_second=10, transient=True, redirect_stdout=OUT.is_terminal):
            yield
        return
    if logged:
        OUT.print(Text(f"{what} ..."))
    yield
