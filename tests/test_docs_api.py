"""docs/api: everything that is offered stands on a page, and says what it takes."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
ROOMS = (
    "batchlab",
    "batchlab.datasets",
    "batchlab.optimizers",
    "batchlab.optimizers.batch",
    "batchlab.optimizers.finite_sum",
    "batchlab.optimizers.integrators",
    "batchlab.optimizers.lr",
    "batchlab.optimizers.moments",
    "batchlab.runner.callbacks",
    "batchlab.runner.launch.executors",
    "batchlab.runner.measures",
    "batchlab.runner.models",
)
"""Packages with an `__all__`: what they name is offered."""


@dataclass(frozen=True)
class Entry:
    """One `auto...` of a page: whether it shows members, and which by name."""

    kind: str
    name: str
    deep: bool
    members: tuple[str, ...]
    excluded: tuple[str, ...]


def entries(page: Path) -> Iterator[Entry]:
    for block in re.findall(r"^```\{eval-rst\}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for kind, name, said in re.findall(r"^\.\. auto(\w+):: ([\w.]+).*\n((?:   :.*\n)*)", block, re.MULTILINE):
            listed = {key: tuple(re.findall(r"\w+", text)) for key, text in re.findall(r":([\w-]+):(.*)", said)}
            yield Entry(kind, name, "members" in listed, listed.get("members", ()), listed.get("exclude-members", ()))


def found(name: str) -> Any:
    first, *parts = name.split(".")
    thing = importlib.import_module(first)
    for i, part in enumerate(parts, 1):
        if not hasattr(thing, part):  # an attribute goes before a module: a folder `runs` beside the package is none
            importlib.import_module(".".join([first, *parts[:i]]))
        thing = getattr(thing, part)
    return thing


def things(page: Path) -> dict[str, tuple[Any, Entry]]:
    """By their full names, what a page documents, and by which entry."""
    shown = {}
    for entry in entries(page):
        thing = found(entry.name)
        if entry.kind == "module":
            for name in entry.members or thing.__all__:
                if name not in entry.excluded:
                    shown[f"{entry.name}.{name}"] = getattr(thing, name), entry
        else:
            shown[entry.name] = thing, entry
    return shown


def unsaid(names: list[str], doc: str) -> list[str]:
    """Parameters that no line of `Args:` or `Attributes:` begins with: `name: ...`, `a, b: ...`."""
    entry = r"^ +(?:\*{{0,2}}\w+, )*\*{{0,2}}{}(?:, \*{{0,2}}\w+)*(?: \([^)]*\))?:"
    return [name for name in names if not re.search(entry.format(name), doc, re.MULTILINE)]


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def lacking(thing: Any, entry: Entry) -> list[str]:
    """What a docstring should say and does not. Of a function of one argument its first line may say it."""
    if not inspect.isclass(thing):
        return lacks_of(thing, thing.__doc__ or "") if inspect.isfunction(thing) else []
    lines = [base for base in thing.__mro__ if base is not object and not getattr(base, "_is_protocol", False)]
    doc = "\n".join(base.__doc__ or "" for base in lines)
    lost = [] if thing.__doc__ else ["the class"]
    if lines and lines[0] is thing and not issubclass(thing, enum.Enum | BaseException | dict):
        lost += unsaid([name for name in parameters(thing) if not name.startswith("_")], doc)
    for name, member in vars(thing).items() if entry.deep else ():
        plain = getattr(member, "__func__", member)
        if name.startswith("_") or name in entry.excluded or not inspect.isfunction(plain):
            continue
        said = [getattr(vars(base).get(name), "__doc__", None) or "" for base in thing.__mro__]
        lost += [f"{name}: {what}" for what in lacks_of(plain, "\n".join(said))]
    return lost


def lacks_of(function: Any, doc: str) -> list[str]:
    if not doc.strip():
        return ["nothing is said of it"]
    names = parameters(function)
    return unsaid(names, doc) if len(names) > 1 else []


def test_all_that_is_offered_stands_on_one_page() -> None:
    shown = [thing for page in PAGES for thing, _ in things(page).values()]
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            if name == "__version__":
                continue
            times = sum(getattr(module, name) is thing for thing in shown)
            assert times == 1, f"{room}.{name} is documented {times} times"


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_each_says_what_it_takes(page: Path) -> None:
    lost = {name: lacks for name, (thing, entry) in things(page).items() if (lacks := lacking(thing, entry))}
    assert not lost


def test_members_that_a_page_names_are_there() -> None:
    for page in PAGES:
        for entry in entries(page):
            for name in entry.members:
                assert hasattr(found(entry.name), name), f"{page.name}: {entry.name}.{name}"


def test_what_lacks_is_seen() -> None:
    def half(first: int, second: int) -> None:
        """Does.

        Args:
            first: the one.
        """

    class Thing:
        """A thing."""

        def __init__(self, size: int) -> None: ...

        def bare(self) -> None: ...

    entry = Entry("class", "Thing", True, (), ())
    assert lacking(half, entry) == ["second"]
    assert lacking(Thing, entry) == ["size", "bare: nothing is said of it"]
