"""Compose: from a list of overrides to resolved, validated runs.

Hydra composes once per distinct choice of groups; plain values are then set on copies, because a compose costs a
tenth of a second and a sweep has thousands of runs that differ in a seed.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from batchlab.results.axes import SEVERAL
from batchlab.runner.options import GridOptions
from batchlab.runner.plan import notes, several, sizes, split
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.conf.files import SINGLE, choices, compose_groups, compose_one, conf_file, hydra_session
from batchlab.runner.plan.conf.yaml_faults import fault, shown
from batchlab.runner.plan.grid.draws import Interval
from batchlab.runner.plan.grid.parsing import parse
from batchlab.runner.plan.grid.product import Grid
from batchlab.runner.plan.grid.skip import Skips
from batchlab.runner.plan.identity import Identities
from batchlab.runner.plan.interpolation import resolve
from batchlab.runner.plan.loss import settled
from batchlab.runner.plan.overrides import Setting, apply, suggest
from batchlab.runner.plan.shared import Shared


@dataclass(frozen=True)
class Planned:
    """One run of a sweep before it starts: its identity, its whole configuration, and what sets it apart."""

    run_id: str
    tree: dict[str, Any]
    overrides: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    """All that was asked for, also where it is the default."""


Bases = dict[tuple[str, ...], dict[str, Any]]
"""The trees of choices of groups, by the choices; not to be changed in place."""


def compose(
    overrides: Sequence[str],
    labels: dict[str, Any] | None = None,
    bases: Bases | None = None,
    options: GridOptions | None = None,
) -> list[Planned]:
    """All runs that the overrides ask for, without repeats, in the order of the grid.

    Args:
        overrides: in Hydra's grammar.
        labels: what the runs are called beside their axes; kept with each run.
        bases: kept from one call to the next where many are made at a time, for Hydra takes 0.1 s to compose one.
        options: what is zipped, left out or drawn; None: nothing is.

    Raises:
        ConfigError: one line that names the override to change. Nothing has been started then.
    """
    with hydra_session() as loader:
        options = options or GridOptions()
        sweeps = parse(overrides, loader, options)
        several.check_swept(sweeps)
        is_group = {s.key: _checked_group(loader, s.key, s.settings) for s in sweeps}
        groups_of = {key for key, group in is_group.items() if group}
        bases = {} if bases is None else bases

        def base_of(chosen: Sequence[Setting]) -> dict[str, Any]:
            texts = tuple(s.text for s in chosen)
            if texts not in bases:
                bases[texts] = compose_groups(texts)
            return bases[texts]

        points = Grid(sweeps, options, groups_of, base_of).points()
        alone = not any(s.swept for s in sweeps) and not labels  # a run alone is known by all that was asked for
        skips = Skips(options.skip)
        runs: dict[str, Planned] = {}
        experiments: dict[tuple[str, ...], str] = {}
        keys_of: dict[tuple[str, ...], tuple[str, ...]] = {}

        def whole(groups: tuple[str, ...], values: Sequence[Setting]) -> tuple[dict[str, Any], bool]:
            written = sizes.hidden(_with_values(bases, groups, values, loader))
            resolved = resolve(written, values, experiments[groups], bases[groups])
            tree = sizes.named(resolved)
            return tree | {
                "dataset": split.settled(tree["dataset"]),
                "train": _train(tree["train"]),
            }, resolved is written

        def seed(groups: tuple[str, ...], setting: Setting) -> Any:
            return apply({"seed": bases[groups]["seed"]}, [setting]).get("seed")

        shared, identities = Shared(whole, seed), Identities()
        for settings, swept in points:
            groups = tuple(s.text for s in settings if is_group[s.key])
            if groups not in experiments:
                experiments[groups] = next((str(s.value) for s in settings if s.key == "experiment" and s.value), "")
            tree = shared.tree(groups, [s for s in settings if not is_group[s.key]])
            apart = tuple(s.plain for s, apart in zip(settings, swept, strict=True) if apart or alone)
            keys = tuple(s.key for s in settings)  # one object for all that have the same
            planned = Planned(identities.of(tree), tree, apart, dict(labels or {}), keys_of.setdefault(keys, keys))
            if not skips.hit(planned.run_id, tree, planned.labels):
                runs.setdefault(planned.run_id, planned)
        skips.check(len(runs))
        return list(runs.values())


def _train(block: dict[str, Any]) -> dict[str, Any]:
    """A `train` block with its loss in one spelling."""
    said = block["loss"] if isinstance(block, dict) and "loss" in block else None
    return block if settled(said) is said else block | {"loss": settled(said)}


def _with_values(bases: Bases, groups: tuple[str, ...], values: Sequence[Setting], loader: Any) -> dict[str, Any]:
    """The tree of these groups with plain values set, and what is measured, and who watches, chosen."""

    def load(axis: str, name: str) -> dict[str, Any]:
        place = (axis, name)
        if place not in bases:
            bases[place] = compose_one(loader, axis, name)
        return copy.deepcopy(bases[place])

    base = bases[groups]
    names = {axis: several.chosen(axis, base[axis], values) for axis in SEVERAL}
    tree = base | {"dataset": split.offered(base["dataset"])}
    tree |= {axis: several.nodes(chosen, partial(load, axis)) for axis, chosen in names.items()}
    rest = [s for s in values if not several.is_choice(s)]
    for setting in rest:
        several.check_key(setting, names)
        notes.check(setting, tree)
    return apply(tree, rest)


def _checked_group(loader: Any, key: str, settings: tuple[Setting, ...]) -> bool:
    """Is the key a group? Its choices are checked here, where a near miss can be named."""
    if key not in SINGLE:
        return False
    offered = choices(loader, key)
    for setting in settings:
        if isinstance(setting.value, Interval):
            raise ConfigError(f"{setting.text}: {key} takes names of choices, not numbers of an interval")
        if isinstance(setting.value, list) and setting.value:
            one_by_one = ",".join(map(str, setting.value))
            raise ConfigError(f"{setting.text}: {key} takes one choice a run: without brackets, {key}={one_by_one}")
        if setting.value not in offered and not (key == "experiment" and setting.value is None):
            if setting.mode == "delete":
                raise ConfigError(f"{setting.text}: an axis cannot be left out")
            if os.path.lexists(there := conf_file(key, str(setting.value))):
                raise ConfigError(f"{setting.text}: {fault(there) or _misread(setting, there)}")
            hint = suggest(str(setting.value), offered, math.inf)
            raise ConfigError(f"{setting.text}: {key} has no choice {setting.value!r}; {hint}")
    return True


def _misread(setting: Setting, there: Path) -> str:
    """Why a file that is there is none of its axis's choices."""
    if isinstance(setting.value, str):
        return f"{there} cannot be read as one of its choices"
    word = f"give it and its `name:` a word, as in my_{there.stem}"
    return f"{shown(there)} is called what overrides read as no word: {word}"
