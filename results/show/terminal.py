"""A console on which names are only names: control bytes are shown, and no markup, emoji or link is made of a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from batchlab.results.show.wrap import HANG, wrapped
from batchlab.results.words import visible


class Terminal(Console):
    """rich's console. What it writes itself (colours, a moving cursor) are escapes; what it is given has none."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False} | given)

    def print(self, *objects: Any, no_wrap: bool | None = None, **given: Any) -> None:
        """Print; a text is wrapped at words, and what is copied (a path, a command) is not broken.

        Args:
            objects: What to print.
            no_wrap: Whether the ends of a text's lines are its own alone.
            given: Of rich.
        """
        if len(objects) == 1 and isinstance(objects[0], (str, Text)):
            text = objects[0] if isinstance(objects[0], Text) else Text(objects[0])
            objects = (text if no_wrap else _wrapped(text, self.width),)
            given["soft_wrap"] = True  # rich would fold what is too wide for a line
        super().print(*objects, no_wrap=no_wrap, **given)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed, texts within tables too."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def _wrapped(text: Text, width: int) -> Text:
    """The same letters in the same styles, in lines of a width."""
    lines, at = [], 0
    for own in text.plain.split("\n"):
        for i, line in enumerate(wrapped(own, width, HANG, whole=True)):
            said = line.lstrip() if i else line
            start = text.plain.index(said, at)
            at = start + len(said)
            lines.append(Text(line.removesuffix(said)).append_text(text[start:at]))
    joined = Text("\n").join(lines)
    joined.style = text.style
    return joined
