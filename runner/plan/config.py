"""Compose: from a list of overrides to resolved, validated runs.

Hydra composes once per distinct choice of groups; plain values are then set on copies, because a compose costs a
tenth of a second and a sweep has thousands of runs that differ in a seed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from batchlab.results.axes import CHOICES
from batchlab.results.legacy import SWITCHES
from batchlab.runner.plan import measure, split
from batchlab.runner.plan.identity import run_id
from batchlab.runner.plan.overrides import FIXED, Setting, apply, combinations, dotted, parse, suggest
from batchlab.runner.plan.schema import ConfigError

# An editable install has no importable package here, only the folder: so a path, not importlib.resources.
PACKAGED = Path(__file__).resolve().parents[2] / "conf"
SINGLE = (*CHOICES, "executor", "experiment")
"""Groups of which a run has one choice."""


@dataclass(frozen=True)
class Planned:
    """One run of a sweep before it starts: its identity, its whole configuration, and what sets it apart."""

    run_id: str
    tree: dict[str, Any]
    overrides: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    """All that was asked for, also where it is the default."""


class UserConf(SearchPathPlugin):
    """A `conf` folder beside the user is searched before the packaged one."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Put ./conf first, where it is not the packaged folder itself."""
        here = Path.cwd() / "conf"
        if here.is_dir() and here.resolve() != PACKAGED:
            search_path.prepend("user", f"file://{here}")


@contextmanager
def hydra_session() -> Iterator[Any]:
    """Hydra's config loader, for composes within the block."""
    Plugins.instance().register(UserConf)
    with initialize_config_dir(config_dir=str(PACKAGED), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.config_loader


def choices(loader: Any, group: str) -> list[str]:
    """What a group offers, the user's own files included."""
    return sorted(set(loader.get_group_options(group, ObjectType.CONFIG)))


def axes() -> dict[str, list[str]]:
    """Every axis and what it offers."""
    with hydra_session() as loader:
        return {group: choices(loader, group) for group in (*SINGLE, measure.AXIS)}


Bases = dict[tuple[str, ...], dict[str, Any]]
"""The trees of choices of groups, by the choices; not to be changed in place."""


def compose(
    overrides: Sequence[str], labels: dict[str, Any] | None = None, bases: Bases | None = None
) -> list[Planned]:
    """All runs that the overrides ask for, without repeats, in the order of the grid.

    Args:
        overrides: in Hydra's grammar.
        labels: what the runs are called beside their axes; kept with each run.
        bases: kept from one call to the next where many are made at a time, for Hydra takes 0.1 s to compose one.

    Raises:
        ConfigError: one line that names the override to change. Nothing has been started then.
    """
    with hydra_session() as loader:
        sweeps = parse(overrides, loader)
        is_group = {s.key: _checked_group(loader, s.key, s.settings) for s in sweeps}
        bases = {} if bases is None else bases
        swept = {s.key for s in sweeps if len(s.settings) > 1}
        if not swept and not labels:
            swept = {s.key for s in sweeps}  # a run alone is known by all that was asked for
        runs: dict[str, Planned] = {}
        for settings in combinations(sweeps):
            groups = tuple(s.text for s in settings if is_group[s.key])
            if groups not in bases:
                bases[groups] = _compose_groups(groups)
            values = [s for s in settings if not is_group[s.key]]
            tree = resolve(_with_values(bases, groups, values, loader))
            tree = tree | {"dataset": split.settled(tree["dataset"])}
            apart = tuple(s.text for s in settings if s.key in swept)
            planned = Planned(run_id(tree), tree, apart, dict(labels or {}), tuple(s.key for s in settings))
            runs.setdefault(planned.run_id, planned)
        return list(runs.values())


def _with_values(bases: Bases, groups: tuple[str, ...], values: Sequence[Setting], loader: Any) -> dict[str, Any]:
    """The tree of these groups with plain values set, and what is measured chosen."""

    def load(name: str) -> dict[str, Any]:
        place = (measure.AXIS, name)
        if place not in bases:
            bases[place] = _compose_measure(loader, name)
        return copy.deepcopy(bases[place])

    base = bases[groups]
    names = measure.chosen(base[measure.AXIS], filter(measure.is_choice, values))
    tree = base | {measure.AXIS: measure.nodes(names, load), "dataset": split.offered(base["dataset"])}
    return apply(tree, (s for s in values if not measure.is_choice(s)))


def _compose_measure(loader: Any, name: str) -> dict[str, Any]:
    """What a measure's file says."""
    offered = choices(loader, measure.AXIS)
    if name not in offered:
        raise ConfigError(f"{measure.AXIS}={name}: {measure.AXIS} has no choice {name!r}; {suggest(name, offered)}")
    content = _composed(f"{measure.AXIS}/{name}", ())[measure.AXIS]
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{measure.AXIS}={name}: the file is empty; give it `_target_` and its arguments")
    return {str(k): v for k, v in content.items()}


def _checked_group(loader: Any, key: str, settings: tuple[Setting, ...]) -> bool:
    """Is the key a group? Its choices are checked here, where a near miss can be named."""
    if key not in SINGLE:
        return False
    offered = choices(loader, key)
    for setting in settings:
        if setting.value not in offered and not (key == "experiment" and setting.value is None):
            if setting.mode == "delete":
                raise ConfigError(f"{setting.text}: an axis cannot be left out")
            hint = suggest(str(setting.value), offered)
            raise ConfigError(f"{setting.text}: {key} has no choice {setting.value!r}; {hint}")
    return True


def _compose_groups(groups: tuple[str, ...]) -> dict[str, Any]:
    """One Hydra compose: the tree of these choices, interpolations not yet resolved."""
    named = _composed("config", groups)
    picked = named.pop("hydra")["runtime"]["choices"]
    named.pop("experiment", None)  # a leaf file without content; its choice is in what it set
    missing = [key for key in FIXED if key not in named]
    if missing:
        raise ConfigError(f"config.yaml: {', '.join(missing)} is missing; is ./conf another program's? It comes first")
    for axis in (*CHOICES, "executor"):
        if not isinstance(named[axis], dict) or not named[axis]:
            raise ConfigError(f"{axis}={picked[axis]}: the file is empty; give it `_target_` and its arguments")
        named[axis] = {"name": picked[axis]} | named[axis]
    old = [name for name in SWITCHES if named["log"].pop(name, False)]  # of an experiment written for batchlab 0.1
    named[measure.AXIS] = list(dict.fromkeys([*named[measure.AXIS], *old]))
    return named


def _composed(file: str, groups: tuple[str, ...]) -> dict[str, Any]:
    """One file composed by Hydra, interpolations not yet resolved."""
    try:
        config = hydra_compose(file, list(groups), return_hydra_config=file == "config")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark is not None else " ".join(groups)
        raise ConfigError(f"{where}: not YAML ({error.problem})") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{' '.join(groups) or 'config.yaml'}: {_first_line(error)}") from error
    tree = OmegaConf.to_container(config, resolve=False)
    assert isinstance(tree, dict)
    return {str(k): v for k, v in tree.items()}


def resolve(tree: dict[str, Any]) -> dict[str, Any]:
    """Interpolations resolved and missing values refused; a tree without either is returned as it is.

    Raises:
        ConfigError: naming the key that has no value.
    """
    texts = [(key, text) for key, value in dotted(tree) for text in _texts(value)]
    for key, value in texts:
        if value == "???":
            raise ConfigError(f"{key} has no value: give one with {key}=...")
    if not any("${" in value for _, value in texts):
        return tree
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(copy.deepcopy(tree)), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    assert isinstance(resolved, dict)
    return {str(k): v for k, v in resolved.items()}


def _texts(value: Any) -> Iterator[str]:
    """The texts in a leaf, which may be a list of lists or of blocks."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
