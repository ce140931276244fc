"""Which files a reader of one's own reads: seen while it does.

What batchlab's readers read is known beforehand (`data_files`). A user's reader may take its table from anywhere, so
files are noted as Python opens them. What a C library opens by itself is not seen; so what such a reader returned is a
part of a run too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchlab.runner.plan import split
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.schema import ConfigError, Node
from batchlab.runner.plan.sources import OURS, installed

if TYPE_CHECKING:
    from batchlab.datasets import Dataset

OWN_KEYS = ("path", "test_path", "file", "test")
"""Where batchlab's readers are told which file, or which folder, of the user's own to read."""
NO_FILES = ("name", "_target_", "root")
"""Keys of a user's own reader that name none."""
CODE = frozenset({".py", ".pyc", ".so", ".pyi"})
CHECKED = "checked_data"
"""Of run.json: projections of what a reader of the user's own returned where the run was checked last."""
_listening: list[set[str]] = []
_seen: dict[str, list[Path]] = {}
_returned: dict[str, tuple[str, list[float]]] = {}
_hooked: list[bool] = []


def load_watched(node: Node) -> Dataset:
    """`load_dataset`, which notes what a reader reads that is the user's own, or calls it; see `read_by`."""
    if _beforehand(node):
        return load_dataset(node)
    from batchlab.datasets import content

    with _watching() as opened:
        dataset = load_dataset(node)
    _seen[_key(node)] = sorted(Path(name).resolve() for name in opened if _is_data(name))
    _returned[_whole_key(node)] = content.digest(dataset), content.projections(dataset)
    return dataset


def read_by(node: Node) -> list[Path]:
    """What the user's own reader of a `dataset` choice read when this process last loaded it."""
    return _seen.get(_key(node), [])


def returned_by(node: Node) -> str:
    """The hash of what the user's own reader returned when this process last loaded it; empty where none did."""
    return _returned.get(_whole_key(node), ("", []))[0]


def asked_again(node: Node) -> str:
    """The same of now; empty of a reader that nobody has to ask, and of one that cannot read."""
    if not _beforehand(node):
        try:
            load_watched(node)
        except ConfigError:  # as with a file that is not there any more
            return ""
    return returned_by(node)


def checked(node: Node) -> dict[str, list[float] | None]:
    """What run.json is told of the data that a run was checked with."""
    return {CHECKED: _returned.get(_whole_key(node), ("", None))[1]}


def load_checked(node: Node, info: Mapping[str, Any]) -> Dataset:
    """`load_dataset`, of the data that the run was checked with.

    Args:
        node: the `dataset` choice.
        info: what run.json says.

    Raises:
        ConfigError: the reader returned something else then, by more than rounding.
    """
    from batchlab.datasets import content

    dataset, before = load_dataset(node), info.get(CHECKED)
    if before is not None and not content.near(before, content.projections(dataset)):
        raise ConfigError(
            f"dataset={node.get('name')}: the reader gave other data than when the run was checked: give its random "
            "numbers a seed, or, if the data were changed meanwhile, ask again"
        )
    return dataset


def data_files(node: Node) -> dict[str, Path]:
    """The files and folders of a `dataset` choice that can be named without reading it, by what they are called.

    Those that its keys name, from here or in the data root; and of a published set what is kept in the data root, as
    soon as it is there.
    """
    from batchlab.datasets.files import data_root

    said = node.get("root")
    root = said if isinstance(said, str) else None
    folder = data_root(root)
    if _beforehand(node):
        found = [*_named(node, root), *_published(node, folder)]
    else:
        texts = [v for k, v in split.reader(node).items() if isinstance(v, str) and v and k not in NO_FILES]
        found = [place for text in texts for place in _places(text, folder)]
    return {_called(place, folder): place for place in found}


def _named(node: Node, root: str | None) -> Iterator[Path]:
    """What batchlab's own reader is told to read, where it would find it."""
    from batchlab.datasets.files import data_root, own_places

    is_there = Path.is_dir if _declared(node, "FOLDER") else Path.is_file
    where = root if _declared(node, "ENTRY") is None else data_root(root)
    for key in OWN_KEYS:
        value = node.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and key != "test":  # 2024, a name
            value = str(value)
        if isinstance(value, str) and value:
            name = f"{value}.npz" if key == "file" and not value.endswith(".npz") else value
            try:
                yield from [place for place in own_places(name, where) if is_there(place)][:1]
            except (OSError, RuntimeError):  # a text that names no file: too long, of a user that there is not
                continue


def called_from_here(path: Path) -> str:
    """What a file is called that was seen being read."""
    return _called(path, Path.cwd())


def _places(value: str, folder: Path) -> list[Path]:
    """The files that a key of a user's own reader may name: in the data root, with or without `.npz`, or from here."""
    try:
        places = [folder / f"{value}.npz", folder / Path(value).expanduser(), Path(value).absolute()]
        return [place for place in places if place.is_file()]
    except (OSError, ValueError, RuntimeError):  # a text that names no file: too long, of a user that there is not
        return []


def awaited(node: Node) -> bool:
    """Whether a `dataset` choice is a published set that would be downloaded first.

    Any other is here, or is missing: nobody can download a user's own.
    """
    entry = _declared(node, "ENTRY")
    root = node.get("root")
    return entry is not None and entry.kind == "published" and not entry.located(root).ready


def _declared(node: Node, what: str) -> Any:
    """What the file of batchlab's own reader declares of it; None where there is nothing of the kind."""
    module, _, name = str(node.get("_target_")).rpartition(".")
    if not _ours(node):
        return None
    try:
        reader = getattr(import_module(module), name)
        return getattr(import_module(reader.__module__), what, None)
    except (ImportError, AttributeError):  # whoever builds it says so
        return None


def _published(node: Node, folder: Path) -> list[Path]:
    """The file of a published set that its reader reads, where it is there."""
    entry = _declared(node, "ENTRY")
    if entry is None or entry.make is None:  # of text files the keys say where they are
        return []
    kept = folder / f"{entry.name}.npz"  # made of the originals where it is not there yet
    return [kept] if kept.is_file() else []


def _called(path: Path, folder: Path) -> str:
    for root in (folder, Path.cwd()):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return str(path)


def _ours(node: Node) -> bool:
    return str(node.get("_target_")).partition(".")[0] == OURS


def _beforehand(node: Node) -> bool:
    """Whether it can be said without reading what a reader reads: batchlab's own, unless it calls the user's."""
    return _ours(node) and _declared(node, "MADE") is None


def _whole_key(node: Node) -> str:
    return json.dumps(node, sort_keys=True, default=str)


def _key(node: Node) -> str:
    return json.dumps(split.reader(node), sort_keys=True, default=str)


@contextmanager
def _watching() -> Iterator[set[str]]:
    """Names of files that are opened for reading in the block."""
    if not _hooked:  # once, as Python lets go of no hook
        _hooked.append(True)
        sys.addaudithook(_opened)
    names: set[str] = set()
    _listening.append(names)
    try:
        yield names
    finally:
        _listening.remove(names)


def _opened(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listening or event != "open":
        return
    path, mode, flags = arguments
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & os.O_ACCMODE)
    if isinstance(path, (str, bytes)) and not writes:
        for names in _listening:
            names.add(os.path.abspath(os.fsdecode(path)))


def _is_data(name: str) -> bool:
    path = Path(name)
    system = path.parts[1:2] and path.parts[1] in ("proc", "sys", "dev", "etc")
    code = path.suffix in CODE or "__pycache__" in path.parts or installed(name)
    return not (system or code) and path.is_file()
