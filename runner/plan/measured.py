"""Which columns a run's rows will have, as far as that is known before it runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batchlab.results.compare.quantities import Quantity
from batchlab.runner.plan.build import is_solver, locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.conf.files import axes, compose_one, hydra_session
from batchlab.runner.plan.overrides import suggest
from batchlab.runner.plan.schema import Node


def declared(trees: Iterable[Mapping[str, Any]]) -> dict[str, Quantity]:
    """What the measures of these configurations say of their columns."""
    nodes = {json.dumps(node): node for tree in trees for node in tree["measure"].values()}
    classes = [locate(node, "measure") for node in nodes.values()]
    return {name: known for kind in classes for name, known in dict(getattr(kind, "quantities", {})).items()}


def columns_of(kind: Any) -> set[str]:
    """The columns that a measure is known to give, by its class."""
    return {*getattr(kind, "quantities", ()), *getattr(kind, "__dict__", {}).get("columns", ())}


def check_measured(column: str, trees: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a column that no row will have.

    What a measure of the user's own does not declare it may give all the same.

    Args:
        column: what is judged.
        trees: configurations.

    Raises:
        ConfigError: with the measure that gives it, where there is one.
    """
    from batchlab.runner.plan.columns import OWN  # torch, with the measures

    if column in OWN["metrics"] or any(
        is_solver(tree["optimizer"]) for tree in trees
    ):  # those have columns of their own
        return
    blocks = {json.dumps(tree["measure"]): tree["measure"] for tree in trees}
    for block in blocks.values():
        kinds = [locate(node, "measure") for node in block.values()]
        if any(column in columns_of(kind) for kind in kinds):
            continue
        others = _others(block)
        giving = [name for name, kind in others.items() if column in columns_of(kind)]
        if giving:
            way = " or ".join(f"+measure={name}" for name in giving)
            raise ConfigError(f"--metric {column}: nothing measures {column}: add {way}")
        if all(_says_all(kind) for kind in kinds):
            known = {*OWN["metrics"], *(name for kind in (*kinds, *others.values()) for name in columns_of(kind))}
            raise ConfigError(f"--metric {column}: nothing measures {column}; {suggest(column, known)}")


def _says_all(kind: Any) -> bool:
    """Whether a measure is one of ours whose columns, if it gives rows of metrics any, are all known."""
    ours = str(getattr(kind, "__module__", "")).startswith("batchlab.")
    return ours and (bool(columns_of(kind)) or kind.stream != "metrics")


def _others(block: Mapping[str, Node]) -> dict[str, Any]:
    """The classes of measures that are not chosen; those that cannot be read or imported are left out."""
    found = {}
    for name in axes()["measure"]:
        if name not in block:
            try:
                with hydra_session() as loader:
                    node = {"name": name} | compose_one(loader, "measure", name)
                found[name] = locate(node, "measure")
            except ConfigError:
                continue
    return found
