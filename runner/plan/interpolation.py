"""Interpolations resolved, and which override or file one that leads nowhere stands in."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from batchlab.results.axes import CHOICES, SEVERAL
from batchlab.results.store.yaml_file import read_yaml
from batchlab.runner.plan import several, sizes
from batchlab.runner.plan.checks import ConfigError, as_kind
from batchlab.runner.plan.conf.files import conf_file
from batchlab.runner.plan.conf.yaml_faults import first_line, shown
from batchlab.runner.plan.expansion import beyond
from batchlab.runner.plan.overrides import EITHER, Setting, dotted, leaves, of_kind, suggest
from batchlab.runner.plan.schema import declared


def resolve(
    tree: dict[str, Any],
    settings: Sequence[Setting] = (),
    experiment: str = "",
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Interpolations resolved and missing values refused; a tree without either is returned as it is.

    What an interpolation gives has the type of the default that it replaces, as the value of an override has. A
    variable of the environment is a text: where a number is wanted, it is the number that the text says.

    Args:
        tree: composed.
        settings: what was set in it by overrides.
        experiment: the one that was chosen, if any.
        before: the tree without what the overrides set.

    Raises:
        ConfigError: naming the key that has no value, or the override or the file whose interpolation leads nowhere, or
            to a value of another type.
    """
    texts = [(key, leaf) for key, value in dotted(tree) for leaf in leaves(value) if isinstance(leaf, str)]
    for key, value in texts:
        if value == "???":
            raise ConfigError(f"{key} has no value: give one with {key}=...")
    linked = [(key, value) for key, value in texts if "${" in value]
    if not linked:
        return tree
    key, why = beyond([(key, leaf) for key, value in dotted(tree) for leaf in leaves(value)])
    if why:
        said = next((value for name, value in linked if name == key), "...")
        raise ConfigError(f"{_place(key, said, tree, settings, experiment)}: {why}")
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(copy.deepcopy(tree)), resolve=True)
    except OmegaConfBaseException as error:
        why, wanted, is_text = _why(error, [key for key, value in dotted(tree) if (key, value) not in linked])
        at = re.sub(r"\[\d+\]", "", str(error.full_key or ""))
        here = [pair for pair in linked if pair[0] == at or at.startswith(f"{pair[0]}.")]
        guilty = [pair for pair in (*here, *linked) if wanted in pair[1]]  # `at` may only lead to the guilty one
        key, value = (guilty or here or linked)[0]
        place = _place(key, value, tree, settings, experiment)
        if is_text:
            given = any(place == setting.text for setting in settings)
            literal = shlex.quote(re.sub(r"(?<!\\)\$\{", r"\\${", place)) if given else r"\${"
            why += f" (for a text with ${{ in it, write {literal})"
        raise ConfigError(f"{place}: {why}") from error
    assert isinstance(resolved, dict)
    defaults = dict(dotted(dict(before or {})))
    for key, text in dict(linked).items():
        *path, last = key.split(".")
        block: Any = resolved
        for part in path:
            block = block[part]
        if sizes.HIDDEN in str(block[last]):
            continue  # of no type yet
        place = _place(key, text, tree, settings, experiment)
        block[last] = _read(key, block[last], _default(key, tree, defaults), place)
    return {str(k): v for k, v in resolved.items()}


def _default(key: str, tree: dict[str, Any], before: Mapping[str, Any]) -> Any:
    """The value in whose place an interpolation stands: None where that is not known, or says nothing of a type.

    Args:
        key: dotted.
        tree: composed, with the interpolation.
        before: dotted key -> value without the overrides.
    """
    found = before.get(key)
    if found is not None and "${" not in str(found):
        return found
    inner = key.split(".")
    inner = inner[2:] if inner[0] in SEVERAL else inner[1:] if inner[0] in (*CHOICES, "executor") else inner
    for path in _files(key, tree, ""):
        with suppress(OSError, ValueError):
            block = read_yaml(path)
            said = dict(dotted(block)).get(".".join(inner)) if isinstance(block, dict) else None
            if said is not None:
                return None if "${" in str(said) else said
    return None


def _read(key: str, value: Any, default: Any, place: str) -> Any:
    """What an interpolation gave, as the default's type; a text as what it says, where no text is wanted."""
    if isinstance(value, dict) and isinstance(default, dict):
        return value
    if isinstance(value, list) and isinstance(default, list) and default:
        return [_read(key, item, default[0], place) if isinstance(item, str) else item for item in value]
    if isinstance(value, str) and not isinstance(default, str):
        said = _decoded(value)
        wanted = declared(key) if default is None else None
        if wanted is not None and as_kind(said, wanted) is not None:
            return as_kind(said, wanted)
        value = value if default is None or isinstance(said, str) else said
    elif isinstance(value, str) and isinstance(said := _decoded(value), EITHER.get(key, ())):
        value = said
    return of_kind(key, value, default, place)


def _decoded(text: str) -> Any:
    """The number, truth value or list that a text says; else the text."""
    if "${" in text:
        return text
    with suppress(OmegaConfBaseException):
        said = OmegaConf.create({"text": text, "said": "${oc.decode:${text}}"})
        found = OmegaConf.to_container(said, resolve=True)
        assert isinstance(found, dict)
        return found["said"]
    return text


def _why(error: OmegaConfBaseException, keys: Sequence[str]) -> tuple[str, str, bool]:
    """What is wrong and how to mend it, what the interpolation to blame has in it, and whether a text may be meant."""
    said = first_line(error)
    if found := re.search(r"Interpolation key '(.*)' not found", said):
        name = found[1]
        return f"${{{name}}} leads nowhere: there is no key {name}; {suggest(name, keys)}", name, True
    if found := re.search(r"Environment variable '(.*)' not found", said):
        name = found[1]
        return f"the environment variable {name} is not set: set it, or write ${{oc.env:{name},DEFAULT}}", name, False
    if "Recursive interpolation" in said or "parent node" in said:
        return "the interpolation leads back to itself: give one of its keys a value", "${", False
    if found := re.search(r"Unsupported interpolation type (.*)", said):
        name = found[1]
        return (
            f"there is no resolver {name}: write ${{some.key}}, or ${{oc.env:NAME}} for a variable",
            f"${{{name}",
            False,
        )
    if isinstance(error, GrammarParseError):
        return f"what begins with ${{ is not finished ({said})", "${", True
    return said, "${", False


def _place(key: str, value: str, tree: dict[str, Any], settings: Sequence[Setting], experiment: str) -> str:
    """The override that set a key, or else the file that says it."""
    for setting in reversed(settings):
        if not several.is_choice(setting) and (key == setting.key or key.startswith(f"{setting.key}.")):
            return setting.text
    files = [path for path in _files(key, tree, experiment) if path.is_file()]
    wrote = [path for path in files if value in path.read_text(encoding="utf-8", errors="replace")]
    return f"{shown((wrote or files)[0])}, {key}={value}"


def _files(key: str, tree: dict[str, Any], experiment: str) -> Iterator[Path]:
    """Where a key may be said, the likeliest file first."""
    axis, *rest = key.split(".")
    if axis in SEVERAL and rest:
        yield conf_file(axis, rest[0])
    elif axis in (*CHOICES, "executor"):
        yield conf_file(axis, str(tree[axis].get("name")))
    if experiment:
        yield conf_file("experiment", experiment)
    yield conf_file("", "config")
