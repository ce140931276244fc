"""Interpolations resolved, and which override or file one that leads nowhere stands in."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from batchlab.results.axes import CHOICES
from batchlab.runner.plan import measure
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.files import conf_file
from batchlab.runner.plan.overrides import Setting, dotted, leaves, suggest
from batchlab.runner.plan.yaml_faults import first_line, shown


def resolve(tree: dict[str, Any], settings: Sequence[Setting] = (), experiment: str = "") -> dict[str, Any]:
    """Interpolations resolved and missing values refused; a tree without either is returned as it is.

    Args:
        tree: composed.
        settings: what was set in it by overrides.
        experiment: the one that was chosen, if any.

    Raises:
        ConfigError: naming the key that has no value, or the override or the file whose interpolation leads nowhere.
    """
    texts = [(key, leaf) for key, value in dotted(tree) for leaf in leaves(value) if isinstance(leaf, str)]
    for key, value in texts:
        if value == "???":
            raise ConfigError(f"{key} has no value: give one with {key}=...")
    linked = [(key, value) for key, value in texts if "${" in value]
    if not linked:
        return tree
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(copy.deepcopy(tree)), resolve=True)
    except OmegaConfBaseException as error:
        why, wanted = _why(error, [key for key, value in dotted(tree) if (key, value) not in linked])
        at = re.sub(r"\[\d+\]", "", str(error.full_key or ""))
        here = [pair for pair in linked if pair[0] == at or at.startswith(f"{pair[0]}.")]
        guilty = [pair for pair in (*here, *linked) if wanted in pair[1]]  # `at` may only lead to the guilty one
        key, value = (guilty or here or linked)[0]
        raise ConfigError(f"{_place(key, value, tree, settings, experiment)}: {why}") from error
    assert isinstance(resolved, dict)
    return {str(k): v for k, v in resolved.items()}


def _why(error: OmegaConfBaseException, keys: Sequence[str]) -> tuple[str, str]:
    """What is wrong and how to mend it, and what the interpolation that is to blame has in it."""
    said = first_line(error)
    if found := re.search(r"Interpolation key '(.*)' not found", said):
        name = found[1]
        literal = r"(for a text with ${ in it, write \${)"
        return f"${{{name}}} leads nowhere: there is no key {name}; {suggest(name, keys)} {literal}", name
    if found := re.search(r"Environment variable '(.*)' not found", said):
        name = found[1]
        return f"the environment variable {name} is not set: set it, or write ${{oc.env:{name},DEFAULT}}", name
    if "Recursive interpolation" in said or "parent node" in said:
        return "the interpolation leads back to itself: give one of its keys a value", "${"
    if found := re.search(r"Unsupported interpolation type (.*)", said):
        name = found[1]
        return f"there is no resolver {name}: write ${{some.key}}, or ${{oc.env:NAME}} for a variable", f"${{{name}"
    return said, "${"


def _place(key: str, value: str, tree: dict[str, Any], settings: Sequence[Setting], experiment: str) -> str:
    """The override that set a key, or else the file that says it."""
    for setting in reversed(settings):
        if not measure.is_choice(setting) and (key == setting.key or key.startswith(f"{setting.key}.")):
            return setting.text
    files = [path for path in _files(key, tree, experiment) if path.is_file()]
    wrote = [path for path in files if value in path.read_text(encoding="utf-8", errors="replace")]
    return f"{shown((wrote or files)[0])}, {key}={value}"


def _files(key: str, tree: dict[str, Any], experiment: str) -> Iterator[Path]:
    """Where a key may be said, the likeliest file first."""
    axis, *rest = key.split(".")
    if axis == measure.AXIS and rest:
        yield conf_file(axis, rest[0])
    elif axis in (*CHOICES, "executor"):
        yield conf_file(axis, str(tree[axis].get("name")))
    if experiment:
        yield conf_file("experiment", experiment)
    yield conf_file("", "config")
