"""What every figure is: something to draw, as a PNG, SVG or PDF file or in a page; and the colours it is drawn in."""

from __future__ import annotations

import html
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.replicates import mixed_keys, mixed_note, repeats_note
from batchlab.results.show.lettering import lettered, unknown_letters
from batchlab.results.store.atomic import writing
from batchlab.results.words import count, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchlab.results.show.cells import Cells
    from batchlab.results.show.points import Points

# After Okabe and Ito's, told apart by colour-blind readers; what is faint on white is darkened, none is lost on black.
COLORS = ("#0072B2", "#ec690a", "#009E73", "#CC79A7", "#0f9be6", "#7d5f03", "#6B6B6B")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (5, 1.2, 1, 1.2, 1, 1.2)))
MARKS = ("", "o", "^", "s", "D", "v", "P", "X")
"""On lines whose colour and dash are another's too."""
INK = "#24292f"
GREY = "#6a737d"
SUFFIXES = (".png", ".svg", ".pdf")
DPI = 200
"""Of a PNG."""
OTHER_FILE = "choose another file with -o"


class Drawing(ABC):
    """A figure to be, for the screen, a file or a page."""

    @property
    @abstractmethod
    def drawable(self) -> bool:
        """Whether there is anything to draw."""

    @property
    def wide(self) -> bool:
        """Whether it wants a page's whole width."""
        return True

    @property
    def notes(self) -> list[str]:
        """What to know before reading it, one line each."""
        return []

    @abstractmethod
    def figure(self) -> Figure:
        """Draw it (matplotlib, no display needed).

        Raises:
            ValueError: When there is nothing to draw.
        """

    def points(self) -> Points | None:
        """The points that `figure` draws, for a page where they answer; None: it is of something else.

        Raises:
            ValueError: When there is nothing to draw.
        """
        return None

    def save(self, path: Path, said: str = "") -> Path:
        """Write it as PNG (200 dpi), SVG or PDF, by the suffix.

        Args:
            path: The file; its folders are made.
            said: What it says of itself, in the metadata of a PNG or an SVG.

        Returns:
            The same path.

        Raises:
            ValueError: For another suffix, a file that cannot be written, or when there is nothing to draw.
        """
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: a plot is a {', '.join(SUFFIXES)} file")
        with lettered():
            figure = self.figure()
            if path.suffix.lower() == ".png" and (layout := figure.get_layout_engine()) is not None:
                figure.set_dpi(DPI)
                layout.execute(figure)  # which saving would do by drawing all of it twice
                figure.set_layout_engine("none")
            with writing(path, OTHER_FILE):
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=DPI, facecolor="white", metadata={"Description": said} if said else None)
        return path

    def cells(self, figure: Figure) -> list[tuple[Axes, Cells]]:
        """What each cell of a figure that `figure` drew says, panel by panel; none: it has no cells."""
        return []

    def svg(self) -> str:
        """As an SVG element for HTML: no background, text in the page's colour, so that it works on dark pages.

        Raises:
            ValueError: When there is nothing to draw.
        """
        return self.pictured()[0]

    def pictured(self) -> tuple[str, Figure]:
        """Such an SVG, and the figure that it is of.

        Raises:
            ValueError: When there is nothing to draw.
        """
        file = io.StringIO()
        with lettered():
            figure = self.figure()
            figure.savefig(file, format="svg", transparent=True)
        text = file.getvalue()
        text = text[text.index("<svg") :]
        soft = f"fill: {GREY}", "fill: currentColor; fill-opacity: 0.8"  # no grey is read on white and on black alike

        def recolored(tag: re.Match[str]) -> str:
            return tag[0].replace(INK, "currentColor").replace(*soft)

        text = re.sub(r"<[^>]*>", recolored, text)  # not in what the figure says
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        head, rest = text.split(">", 1)
        head = re.sub(r' (width|height)="[^"]*"', "", head)  # the page gives it its size
        return f'{head} role="img" aria-label="{html.escape(spoken(figure))}">{rest}', figure


def spoken(figure: Figure) -> str:
    """What a figure shows, in the words above it, or above and beside its panels."""
    titles = [axes.get_title(loc="left") or axes.get_title() or axes.get_ylabel() for axes in figure.axes]
    said = figure.get_suptitle() or ", ".join(dict.fromkeys(filter(None, titles)))
    return visible(" ".join(said.replace(r"\$", "$").split())) or "figure"


def without_note(frame: Frame, *keys: str | None) -> list[str]:
    """How many runs are not drawn because they have no value of a key, one line for each key that some lack."""
    found = []
    for key in ",".join(filter(None, keys)).split(","):
        lost = sum(bool(run.config) and run.value(key) == MISSING for run in frame.runs)
        if lost:
            found.append(f"{count(lost, 'run')} without {key} left out")
    return found


class FrameDrawing(Drawing):
    """A drawing that puts the runs of a frame together, and says what it mixes by that.

    Attributes:
        together: What puts them together: lines, panels.
        frame: The runs.
    """

    together: ClassVar[str]
    frame: Frame

    @abstractmethod
    def groups(self) -> Sequence[Sequence[RunRow]]:
        """The runs that are put together."""

    @property
    def notes(self) -> list[str]:
        """Methods that are mixed, repeats, damaged files."""
        return [*self.mixtures("--hue"), *self.frame.problems, *unknown_letters(self.names())]

    @abstractmethod
    def names(self) -> Iterable[object]:
        """What runs and layers are called in the figure."""

    def mixtures(self, options: str = "") -> list[str]:
        """What to say of methods that are mixed and of repeats, one line each.

        Args:
            options: Where a user would tell the methods apart; none in the figure itself.
        """
        groups = self.groups()
        mixed = mixed_keys(groups)
        return [*mixed_note(self.together, mixed, options), *repeats_note(groups, mixed)]
