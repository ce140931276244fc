"""What `conf/` offers, read without Hydra: choices, keys and their defaults, for completion and for hints.

An approximation of what is composed, as experiments are not looked into; Hydra is asked when the command runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from batchlab.results.axes import CHOICES, SEVERAL
from batchlab.results.store.yaml_file import read_yaml

PACKAGED = Path(__file__).resolve().parents[2] / "conf"
GROUPS = (*CHOICES, "executor", "experiment", *SEVERAL)
"""Axes of which each choice is a file."""
WORDS = {
    "train.decay": ("all", "weights"),
    "train.device": ("auto", "cpu", "cuda"),
    "train.precision": ("float32", "float64", "bfloat16"),
    "train.loss": ("cross_entropy", "mse", "squared_hinge"),
    "executor.launcher": ("fork", "torchrun"),
}
"""Keys whose values are one of a few words."""
UNSAID = ("name", "_target_", "_partial_", "defaults")
"""Keys of a choice's file that nobody overrides."""


def files(group: str) -> dict[str, Path]:
    """The file of each choice of a group, the user's own before the packaged one."""
    found: dict[str, Path] = {}
    for folder in (PACKAGED, Path.cwd() / "conf"):
        found |= {path.stem: path for path in (folder / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def keys(overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Every dotted key that can be overridden, with its default.

    Args:
        overrides: What was chosen already: after `optimizer=adam` there are Adam's keys.
    """
    own = Path.cwd() / "conf" / "config.yaml"
    config = document(own if own.is_file() else PACKAGED / "config.yaml")
    defaults = config.pop("defaults", [])
    picked = {key: value for item in defaults if isinstance(item, dict) for key, value in item.items()}
    picked |= {axis: config.pop(axis, []) for axis in SEVERAL}
    given = dict(text.lstrip("+~").partition("=")[::2] for text in overrides)
    several = {key: value.split(",") for key, value in given.items() if key in GROUPS}
    picked |= {key: names[0] for key, names in several.items()}
    found = flat(config)
    for group, choice in picked.items():
        for name in choice if isinstance(choice, list) else [choice]:
            own_keys = _chosen(group, str(name)) if group != "experiment" else {}
            if group not in SEVERAL:  # of several contenders the keys that all have
                rest = [_chosen(group, other) for other in several.get(group, [])[1:] if group != "experiment"]
                own_keys = {key: value for key, value in own_keys.items() if all(key in other for other in rest)}
            block = f"{group}.{name}" if group in SEVERAL else group
            found |= {f"{block}.{key}": value for key, value in own_keys.items()}
    return found


def values(key: str, default: Any = None) -> list[str]:
    """What a key can be, where that is known; else its default alone, where it can be typed as it is."""
    if key in GROUPS:
        more = [point.name for point in entry_points(group="batchlab.executors")] if key == "executor" else []
        return sorted({*files(key), *more})
    if key in WORDS:
        return [*WORDS[key]]
    if isinstance(default, bool):
        return ["true", "false"]
    plain = isinstance(default, (int, float)) or (isinstance(default, str) and default.replace("_", "").isalnum())
    return [str(default)] if plain else []


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree by dotted keys, less what nobody overrides.

    >>> flat({"train": {"epochs": 10.0, "loss": "mse"}, "seed": 0})
    {'train.epochs': 10.0, 'train.loss': 'mse', 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in UNSAID:
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _chosen(group: str, name: str, depth: int = 0) -> dict[str, Any]:
    """The keys of a choice, with those of the files that it builds on."""
    path = files(group).get(name)
    if path is None or depth > 5:
        return {}
    tree = document(path)
    below = tree.get("defaults")
    found: dict[str, Any] = {}
    for item in below if isinstance(below, list) else ():
        if isinstance(item, str) and item != "_self_":
            found |= _chosen(group, item, depth + 1)
    return found | flat(tree)


def document(path: Path) -> dict[str, Any]:
    """A file's mapping; empty where it cannot be read: who runs the command is told."""
    try:
        content = read_yaml(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
