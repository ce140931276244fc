"""What the `defaults` of a file name, read again to say which file names what there is not: Hydra's errors do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from batchlab.results.store.yaml_file import read_yaml
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.conf.yaml_faults import fault, shown
from batchlab.runner.plan.overrides import suggest

Choice = tuple[str, str]
"""Group and name of a file."""
CONFIG = ("", "config")


def check_defaults(
    chosen: Sequence[Choice], place: Callable[[str, str], Path], offered: Callable[[str], Sequence[str]]
) -> None:
    """See that what these files name is there and can be read, and what those name, and so on.

    Args:
        chosen: where to begin.
        place: where a choice's file is.
        offered: what a group has to choose from.

    Raises:
        ConfigError: naming the file that cannot be read, or that names a choice which is not there.
    """
    seen: set[Choice] = set()
    left = list(chosen)
    while left:
        here = left.pop(0)
        path = place(*here)
        if here in seen or not path.is_file():
            continue
        seen.add(here)
        if said := fault(path):
            raise ConfigError(said)
        for entry, group, name in _named(path, here[0]):
            among = offered(group)
            if not among:  # no group, perhaps a name of Hydra's own
                continue
            if name is None and group != "experiment":
                raise ConfigError(f"{shown(path)}: `{entry}:` names no choice; there are: {', '.join(among)}")
            if name is not None and name not in among:
                hint = suggest(name, among)
                raise ConfigError(f"{shown(path)}: `{entry}: {name}`: {group} has no choice {name!r}; {hint}")
            left += [] if name is None else [(group, name)]


def check_read(
    asked: Sequence[Choice], config: bool, place: Callable[[str, str], Path], ours: Callable[[Path], bool]
) -> list[Path]:
    """See that the files which Hydra is about to read can be read, and that none of them builds on itself.

    Args:
        asked: what overrides choose.
        config: config.yaml is read too, whose own choices hold where nobody makes another.
        place: where a choice's file is.
        ours: whether a file comes with batchlab, and is sound.

    Returns:
        Those that do not.

    Raises:
        ConfigError: naming the file.
    """
    replaced = {group for group, _ in asked}
    known: set[Choice] = set()
    own: list[Path] = []

    def visit(here: Choice, trail: tuple[Choice, ...]) -> None:
        path = place(*here)
        if here in trail:
            way = " -> ".join("/".join(choice) for choice in (*trail[trail.index(here) :], here))
            raise ConfigError(f"{shown(path)}: its `defaults` lead back to it ({way}): take one of them out")
        if here in known or not path.is_file():
            return
        known.add(here)
        if not ours(path):
            own.append(path)
            if said := fault(path):
                raise ConfigError(said)
        for entry, group, name in _named(path, here[0]):
            if here[0] == "experiment" and entry.startswith("override "):
                if group in replaced and (group, name) not in asked:
                    continue
                replaced.add(group)
            if name is not None and not (here == CONFIG and group in replaced):
                visit((group, name), (*trail, here))

    for choice in asked:
        visit(choice, ())
    if config:
        visit(CONFIG, ())
    return own


def _named(path: Path, group: str) -> Iterator[tuple[str, str, str | None]]:
    """Each of the `defaults` as it is written, its group, and its name; None where there is none."""
    block = read_yaml(path)
    entries = block.get("defaults", []) if isinstance(block, dict) else []
    if not isinstance(entries, list) or not all(isinstance(entry, (str, dict)) for entry in entries):
        raise ConfigError(
            f"{shown(path)}: `defaults` must be a list of names, or of `group: name`, got {entries!r:.80}"
        )
    for entry in entries:
        if isinstance(entry, str) and entry != "_self_":
            head, _, name = entry.partition("@")[0].rpartition("/")
            yield entry, _absolute(f"{head}" if head or not entry.startswith("/") else "/", group), name
        elif isinstance(entry, dict):
            for key, value in entry.items():
                for name in value if isinstance(value, list) else [value]:
                    said = str(key).split()[-1].partition("@")[0]
                    yield str(key), _absolute(said, group), None if name is None else str(name)


def _absolute(group: str, here: str) -> str:
    """A group as the root of `conf/` sees it."""
    return group[1:] if group.startswith("/") else "/".join(part for part in (here, group) if part)
