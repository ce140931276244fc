"""Settings, one value each, made in plain trees with errors that name the way out. `parsing` reads what is typed."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batchlab.results.axes import CHOICES, SEVERAL
from batchlab.runner.plan.checks import KINDS, ConfigError, as_kind

OURS = ("executor", *SEVERAL, "seed", "nproc", "train", "log")
"""Top-level keys that the runner itself reads: their types hold even where `++` forces a value."""
FIXED = (*CHOICES, *OURS)
NOT_KEYS = ("name", "_target_")
"""Of a choice: what says which it is, and no argument of it."""
EITHER: dict[str, tuple[type, ...]] = {
    "train.loss": (str, dict),
    "train.micro_batch": (str, int),
    "executor.devices": (str, int, float),
    "executor.fuse": (str, int, bool),
}
"""Keys whose values are of several kinds, whichever the default is; who reads them checks them."""


@dataclass(frozen=True)
class Setting:
    """One override with one value: `optimizer.lr=0.1` (change), `+a=1` (add), `++a=1` (force), `~a` (delete).

    Attributes:
        key: Dotted.
        value: What it gives.
        mode: change, add, force or delete.
        text: As it was typed, or would be with this value alone.
        scope: The choice that it is for, as in `optimizer.lr@shb=0.1`; empty: for every run.
    """

    key: str
    value: Any
    mode: str = "change"
    text: str = ""
    scope: str = ""

    @property
    def plain(self) -> str:
        """What gives the same to a run alone, whatever its choices."""
        return self.text.replace(f"@{self.scope}", "", 1) if self.scope else self.text


def dotted(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a tree as (dotted key, value)."""
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, dict) and value:
            yield from dotted(value, path)
        else:
            yield path, value


def leaves(value: Any) -> Iterator[Any]:
    """What stands in a value that may be a list of lists or of blocks; a plain value is its own only leaf."""
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def suggest(word: str, among: Iterable[str], most: float = 40) -> str:
    """A `did you mean` clause, or what there is when none is near; of more than `most` only how to list them."""
    among = list(among)
    tail = word.rsplit(".", 1)[-1]
    near = [k for k in among if k.rsplit(".", 1)[-1] == tail]
    near = near or _nearest(word, among)
    near = near or [k for k in among if k.replace(".", "_").endswith(word.replace(".", "_"))]
    if not near:
        tails = {k.rsplit(".", 1)[-1]: k for k in among}
        near = [tails[t] for t in _nearest(tail, list(tails))]
    if near:
        return f"did you mean {' or '.join(near[:3])}?"
    return f"there are: {', '.join(sorted(among))}" if len(among) <= most else "`batchlab show` lists the keys"


def _nearest(word: str, among: Sequence[str]) -> list[str]:
    """Close matches, and of them only those that are about as close as the closest."""
    near = difflib.get_close_matches(word, among, n=3, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, word, other).ratio() for other in near]
    return [other for other, ratio in zip(near, ratios, strict=True) if ratio > ratios[0] - 0.05]


def apply(tree: dict[str, Any], settings: Iterable[Setting]) -> dict[str, Any]:
    """A copy of `tree` with the settings made, each checked against the type of the value it replaces.

    Raises:
        ConfigError: on an unknown key or a value of the wrong type.
    """
    tree = copy.deepcopy(tree)
    for setting in settings:
        *path, last = setting.key.split(".")
        top = path[0] if path else last
        node: Any = tree
        for part in path:
            if setting.mode in ("add", "force") and isinstance(node, dict):
                node = node.setdefault(part, {})
            else:
                node = node.get(part) if isinstance(node, dict) else None
        exists = isinstance(node, dict) and last in node
        if exists and last == "name" and "_target_" in node and setting.mode != "delete":
            raise ConfigError(
                f"{setting.text}: {setting.key} says which file of conf/{top} this is, and tables go by it: choose "
                f"another with {top}=..., or give it a file of its own"
            )
        if setting.mode == "add" and exists:
            raise ConfigError(f"{setting.text}: {setting.key} exists; write it without the +")
        if not isinstance(node, dict) or (not exists and setting.mode in ("change", "delete")):
            raise ConfigError(f"{setting.text}: there is no key {setting.key}; {_instead(setting, tree, node)}")
        if setting.mode == "delete":
            if setting.key in FIXED or top in OURS or last in NOT_KEYS:
                raise ConfigError(f"{setting.text}: {setting.key} cannot be left out; give it a value")
            del node[last]
        elif exists and (setting.mode == "change" or top in OURS):
            node[last] = typed(setting, node[last])
        else:
            node[last] = setting.value
    return tree


def _instead(setting: Setting, tree: dict[str, Any], node: Any) -> str:
    """What to write for a key that there is not.

    Args:
        setting: with that key.
        tree: in which it is not.
        node: the block in which it was looked for, if there is one.
    """
    *path, last = setting.key.split(".")
    if isinstance(node, dict) and "_target_" in node and not node.keys() - {*NOT_KEYS}:
        return f"{path[0]}={node.get('name')} has no keys of its own"
    group = [] if path else _nearest(last, list(tree))  # a typo in an axis, before one of its keys
    wanted = [key for key, value in node.items() if value == "???"] if isinstance(node, dict) else []
    if wanted and not _nearest(last, list(node)):
        return f"did you mean {'.'.join([*path, wanted[0]])}, which has no value yet?"
    hint = suggest(setting.key, group or (k for k, _ in dotted(tree) if k.rsplit(".", 1)[-1] not in NOT_KEYS))
    if setting.mode == "change" and isinstance(node, dict) and "_target_" in node:  # its file need not say all of them
        hint += f" (+{setting.text} adds an argument of {node['_target_']})"
    return hint


def typed(setting: Setting, default: Any) -> Any:
    """The setting's value as the type of the default it replaces.

    A default of `null`, a missing value `???` and an interpolation say nothing of a type: they take anything. The keys
    of an axis take `null` too: whoever is built from them says whether that means something.
    """
    value = setting.value
    if isinstance(value, str) and "${" in value:  # who resolves it checks what it gives
        return value
    return of_kind(setting.key, value, default, setting.text)


def of_kind(key: str, value: Any, default: Any, place: str) -> Any:
    """A value as the type of the default, as `typed` says.

    Args:
        key: dotted.
        value: what is given.
        default: what it replaces.
        place: the override or the file that gives it, for messages.
    """
    if key in EITHER and isinstance(value, EITHER[key]):
        return value
    if value is None and key.split(".", 1)[0] in CHOICES:
        return None
    if default is None or (isinstance(default, str) and (default == "???" or "${" in default)):
        return value
    kind = next((kind for kind in KINDS if isinstance(default, kind)), None)
    if kind is None:
        raise ConfigError(f"{place}: {key} is a block of keys, not a value: set one of its keys")
    found = as_kind(value, kind)
    if found is None:
        raise ConfigError(f"{place}: {key} must be {KINDS[kind]} (default {default!r}), got {value!r}")
    return found
