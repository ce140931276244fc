"""Writes docs/reference, and the picture and the table of docs/architecture.md: `make reference`."""

from __future__ import annotations

from pathlib import Path

from batchlab.results.store.atomic import replace_text
from batchlab.runner.reference import commands, numbers, pages, picture

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("docs") / "reference"
HOUSE = Path("docs") / "architecture.md"
PICTURE = Path("docs") / "wings.svg"
TITLES = {
    "Runs": ("configuration", "commands", "metrics"),
    "Axes": (
        *("optimizers", "optimizers-noise", "optimizers-integrators", "solvers"),
        *("lr-schedules", "batch-schedules", "models", "datasets", "measures"),
        *("callbacks", "executors", "experiments"),
    ),
}
"""The order of the pages."""


def texts() -> dict[str, str]:
    """File name -> text of every page."""
    made = pages.axes() | {"metrics": numbers.page(), "commands": commands.page()}
    assert made.keys() == {name for names in TITLES.values() for name in names}
    lines = ["# Reference\n", pages.MARK, "Every axis, key, metric, measure and command, read from the code.\n"]
    for title, names in TITLES.items():
        lines += [f"## {title}\n", *(f"- [{made[name].split(chr(10))[0][2:]}]({name}.md)" for name in names), ""]
    return {"index.md": "\n".join(lines)} | {f"{name}.md": text.rstrip() + "\n" for name, text in made.items()}


def architecture(text: str) -> str:
    """The page of the house with the table of who imports whom between its marks."""
    before, begin, rest = text.partition(picture.BEGIN)
    _, end, after = rest.partition(picture.END)
    assert end, f"{HOUSE} needs the lines {picture.BEGIN} and {picture.END}"
    return f"{before}{begin}\n{picture.listed()}{end}{after}"


def write(root: Path = ROOT) -> list[Path]:
    """Write the pages, and remove those that are no more.

    Args:
        root: The checkout.

    Returns:
        The files that were written.
    """
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    files = {root / FOLDER / name: text for name, text in texts().items()}
    if (root / HOUSE).exists():
        files[root / HOUSE] = architecture((root / HOUSE).read_text(encoding="utf-8"))
        picture.draw(root / PICTURE)
    for path in (root / FOLDER).glob("*.md"):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        replace_text(path, text)
    return [*files, *([root / PICTURE] if (root / PICTURE).exists() else [])]


if __name__ == "__main__":
    print("\n".join(str(path.relative_to(ROOT)) for path in write()))
