"""The picture of the house in docs/architecture.md: rooms, their wings, and who imports whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchlab.runner.reference.pages import table
from batchlab.runner.reference.wings import GROUND, ROOMS, Wing, arrows, levels, wings

BEGIN, END = "<!-- wings: `make reference` writes what stands until the end mark -->", "<!-- end of wings -->"
COLOURS = {"optimizers": "#b85c00", "datasets": "#00796b", "results": "#6a3fa0", "runner": "#1f5fa8"}
WIDE, HIGH, GAP, PAD, HEAD = 1.5, 0.55, 0.35, 0.35, 0.55
"""Of a box, between boxes, within a room, and for its name."""


def label(wing: Wing) -> str:
    """What a box is called: the files that stand beside the folders of a room have no name of their own."""
    _, name = wing
    if name == GROUND:
        return "files they share"
    return f"{name}/" if name else "files on top"


def said() -> list[str]:
    """The picture in words, an arrow a line: what it is made from."""
    return [f"{a[0]}/{a[1]} > {b[0]}/{b[1]} ({n})" for (a, b), n in arrows().items()]


def listed() -> str:
    """The same as a table, for who reads rather than looks."""
    found = arrows()
    rows = []
    for wing, files in wings().items():
        to = [_named(b) for a, b in found if a == wing]
        rows.append((_named(wing), str(files), ", ".join(to) or "none of the others"))
    return table(("wing", "files", "imports"), rows)


def _named(wing: Wing) -> str:
    room, name = wing
    return f"`{room}/{name}`" if name not in ("", GROUND) else f"`{room}`: {label(wing)}"


def places() -> tuple[dict[Wing, tuple[float, float]], dict[str, tuple[float, float, float, float]]]:
    """The centre of every box, and every room's frame (left, bottom, width, height): the runner above the others."""
    centres: dict[Wing, tuple[float, float]] = {}
    frames: dict[str, tuple[float, float, float, float]] = {}
    shapes = {}
    for room in ROOMS:
        rows: dict[int, list[str]] = {}
        for name, level in levels(room).items():
            rows.setdefault(level, []).append(name)
        shapes[room] = rows
    sizes = {
        room: (
            max(map(len, rows.values())) * (WIDE + GAP) - GAP + 2 * PAD,
            (max(rows) + 1) * (HIGH + GAP) - GAP + PAD + HEAD,
        )
        for room, rows in shapes.items()
    }
    below = [room for room in ROOMS if room != "runner"]
    width = sum(sizes[room][0] for room in below) + PAD * (len(below) - 1)
    ground = max(sizes[room][1] for room in below)
    left = 0.0
    for room in below:
        frames[room] = (left, ground - sizes[room][1], *sizes[room])
        left += sizes[room][0] + PAD
    frames["runner"] = (0.0, ground + 3 * PAD, max(width, sizes["runner"][0]), sizes["runner"][1])
    for room, rows in shapes.items():
        x, y, w, _ = frames[room]
        for level, names in rows.items():
            step = w / len(names)
            for i, name in enumerate(sorted(names)):
                centres[room, name] = (x + step * (i + 0.5), y + PAD + level * (HIGH + GAP) + HIGH / 2)
    return centres, frames


def draw(path: Path) -> None:
    """Draw it as SVG.

    Args:
        path: The file.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    centres, frames = places()
    right = max(x + w for x, _, w, _ in frames.values())
    top = max(y + h for _, y, _, h in frames.values())
    figure = Figure(figsize=(right + 0.4, top + 0.4), facecolor="white")
    FigureCanvasSVG(figure)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.2, right + 0.2), ylim=(-0.2, top + 0.2), aspect="equal")
    axes.axis("off")
    for room, (x, y, w, h) in frames.items():
        colour = COLOURS[room]
        axes.add_patch(
            FancyBboxPatch((x, y), w, h, "round,pad=0,rounding_size=0.12", fc=f"{colour}12", ec=colour, lw=1)
        )
        axes.text(x + 0.15, y + h - 0.12, room, ha="left", va="top", weight="bold", color=colour, size=12)
    for x, y, w, h in (frame for room, frame in frames.items() if room != "runner"):
        axes.add_patch(
            FancyArrowPatch(
                (x + w / 2, frames["runner"][1]), (x + w / 2, y + h), arrowstyle="-|>", mutation_scale=16,
                shrinkA=0, shrinkB=0, lw=3, color=COLOURS["runner"],
            )
        )  # fmt: skip
    for (a, b), n in arrows().items():
        if a[0] != b[0]:
            continue
        (x0, y0), (x1, y1) = centres[a], centres[b]
        bend = 0.0 if abs(x0 - x1) < 0.1 and y0 - y1 < HIGH + GAP + 0.1 else 0.12
        axes.add_patch(
            FancyArrowPatch(
                (x0, y0 - HIGH / 2), (x1, y1 + HIGH / 2 if y1 < y0 else y1),
                connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=1,
                lw=0.5 + min(n, 20) / 12, color=COLOURS[a[0]], alpha=0.5, zorder=1,
            )
        )  # fmt: skip
    for (room, name), (x, y) in centres.items():
        box = FancyBboxPatch(
            (x - WIDE / 2, y - HIGH / 2), WIDE, HIGH, "round,pad=0,rounding_size=0.08",
            fc="white", ec=COLOURS[room], lw=1.2, zorder=2,
        )  # fmt: skip
        axes.add_patch(box)
        axes.text(x, y, label((room, name)), ha="center", va="center", size=9, zorder=3)
    with matplotlib.rc_context({"svg.hashsalt": "batchlab", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": "; ".join(said())})
