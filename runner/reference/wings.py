"""Who imports whom, read from the sources: what the picture and the table of docs/architecture.md show."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
ROOMS = ("optimizers", "datasets", "results", "runner")
GROUND = "ground"
"""What the files are called that stand beside a room's folders, below them; those above are called ""."""
Wing = tuple[str, str]
"""A room, and a folder of it or the files beside its folders."""


def wing_of(module: str) -> Wing | None:
    """The wing of a module by its dotted name, or of what it holds; None of what is no room's.

    >>> wing_of("batchlab.runner.plan.config.compose"), wing_of("batchlab.runner.cli"), wing_of("torch.nn")
    (('runner', 'plan'), ('runner', ''), None)
    """
    parts = module.split(".")
    if len(parts) < 2 or parts[0] != "batchlab" or parts[1] not in ROOMS:
        return None
    room, name = parts[1], parts[2] if len(parts) > 2 else ""
    if (HOUSE / room / name / "__init__.py").exists() and name:
        return room, name
    return room, GROUND if name in _ground(room) else ""


@cache
def _ground(room: str) -> set[str]:
    """The files beside a room's folders that need none of these, nor of the files above."""
    files = {file.stem: _imported(file) for file in (HOUSE / room).glob("*.py")}
    needs = {}
    for stem, names in files.items():
        inner = {[*name.split("."), ""][2] for name in names if name.startswith(f"batchlab.{room}")}
        needs[stem] = {"__init__" if one not in files and not (HOUSE / room / one).is_dir() else one for one in inner}
    found = set(files) - {"__init__"}
    while high := {stem for stem in found if not needs[stem] <= found}:
        found -= high
    return found


def wings() -> dict[Wing, int]:
    """Every wing, with how many files it has."""
    files = [file for room in ROOMS for file in (HOUSE / room).rglob("*.py")]
    return dict(sorted(Counter(wing for file in files if (wing := wing_of(name_of(file)))).items()))


def name_of(file: Path) -> str:
    """The dotted name of a source file."""
    return ".".join(["batchlab", *file.relative_to(HOUSE).with_suffix("").parts]).removesuffix(".__init__")


def arrows() -> dict[tuple[Wing, Wing], int]:
    """How many files of a wing import another wing, anywhere in them."""
    found: Counter[tuple[Wing, Wing]] = Counter()
    for room in ROOMS:
        for file in (HOUSE / room).rglob("*.py"):
            here = wing_of(name_of(file))
            there = {wing_of(name) for name in _imported(file)}
            found.update((here, wing) for wing in there if here and wing and wing != here)
    return dict(sorted(found.items()))


def levels(room: str) -> dict[str, int]:
    """How high each wing of a room stands: above all that it imports, and the files that need none below all."""
    below: dict[str, set[str]] = {name: set() for one, name in wings() if one == room}
    for (one, name), (other, lower) in arrows():
        if one == other == room and lower != "":  # some files above are stood on by folders too, see the picture
            below[name].add(lower)
    found: dict[str, int] = {}
    while left := [name for name in below if name not in found]:
        free = [name for name in left if below[name] <= found.keys()]
        assert free, f"these import each other: {left}"
        found |= {name: 1 + max((found[lower] for lower in below[name]), default=-1) for name in free}
    top = max(found.values())
    return found | {name: top for name in found if name == "" and found[name] < top}


@cache
def _imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
