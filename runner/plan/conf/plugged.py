"""Executors of other packages: entry points of the group `batchlab.executors` name classes, whose keywords are keys."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from batchlab.runner.plan.checks import ConfigError

GROUP = "batchlab.executors"


def plugged() -> dict[str, EntryPoint]:
    """The entry points by name; nothing of them is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def offer(name: str) -> None:
    """Let Hydra find such an executor, as if there were a file in conf/executor; one that has a file is left alone.

    Raises:
        ConfigError: its class cannot be imported, or has an argument without a default.
    """
    from hydra.core.config_store import ConfigStore

    if (point := plugged().get(name)) is not None:
        ConfigStore.instance().store(group="executor", name=name, node=_node(point), provider=GROUP)


def _node(point: EntryPoint) -> dict[str, Any]:
    """What a YAML file would say: the class's keyword arguments and their defaults."""
    said = f"executor={point.name} of the entry point {point.value}"
    try:
        parameters = inspect.signature(point.load()).parameters.values()
    except Exception as error:
        raise ConfigError(f"{said}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if missing := [p.name for p in named if p.default is p.empty]:
        raise ConfigError(f"{said}: {', '.join(missing)} must have a default")
    path = point.value.replace(":", ".")
    return {"name": point.name, "_target_": path} | {p.name: p.default for p in named}
