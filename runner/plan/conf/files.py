"""What the files of `conf/` say, the user's own before the packaged ones; Hydra composes them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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

from batchlab.results.axes import CHOICES, SEVERAL
from batchlab.results.legacy import ALWAYS
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.conf.defaults import check_defaults, check_read
from batchlab.runner.plan.conf.experiment import check_headed, check_keys, check_placed
from batchlab.runner.plan.conf.plugged import offer, plugged
from batchlab.runner.plan.conf.yaml_faults import fault, first_line, shown
from batchlab.runner.plan.overrides import FIXED, suggest
from batchlab.runner.plan.several import MEASURE, listed, switched

# An editable install has no importable package here, only the folder: so a path, not importlib.resources.
PACKAGED = Path(__file__).resolve().parents[3] / "conf"
SINGLE = (*CHOICES, "executor", "experiment")
"""Groups of which a run has one choice."""


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
    more = plugged() if group == "executor" else ()
    return sorted({*loader.get_group_options(group, ObjectType.CONFIG), *more})


def axes() -> dict[str, list[str]]:
    """Every axis and what it offers."""
    with hydra_session() as loader:
        return {group: choices(loader, group) for group in (*SINGLE, *SEVERAL)}


def compose_one(loader: Any, axis: str, name: str) -> dict[str, Any]:
    """What the file of a choice says, on an axis of several."""
    offered = choices(loader, axis)
    if name not in offered:
        raise ConfigError(f"{axis}={name}: {axis} has no choice {name!r}; {suggest(name, offered, math.inf)}")
    content = _composed(f"{axis}/{name}", (), [(axis, name)])[axis]
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{axis}={name}: the file is empty; give it `_target_` and its arguments")
    _check_name(axis, name, content.get("name", name))
    return {str(k): v for k, v in content.items()}


def compose_groups(groups: tuple[str, ...]) -> dict[str, Any]:
    """One Hydra compose: the tree of these choices, interpolations not yet resolved."""
    for text in groups:
        if text.startswith("executor="):
            offer(text.removeprefix("executor="))
    named = _composed("config", groups)
    picked = named.pop("hydra")["runtime"]["choices"]
    _check_files([("", "config"), *((group, str(name)) for group, name in picked.items() if group in SINGLE)])
    chosen = [conf_file("experiment", str(picked["experiment"]))] if picked.get("experiment") else []
    own = Path.cwd() / "conf"
    check_placed(
        named.pop("experiment", None), [*chosen, *sorted((own / "experiment").glob("*.yaml")), conf_file("", "config")]
    )
    named.setdefault(MEASURE, list(ALWAYS))  # a config.yaml written for batchlab 0.1 has none
    named.setdefault("callback", [])
    missing = [key for key in FIXED if key not in named]
    if missing:
        _check_named([("experiment", path.stem) for path in chosen] + [("", "config")])
        raise ConfigError(f"config.yaml: {', '.join(missing)} is missing; is ./conf another program's? It comes first")
    for axis in (*CHOICES, "executor"):
        if not isinstance(named[axis], dict) or not named[axis]:
            raise ConfigError(f"{axis}={picked[axis]}: the file is empty; give it `_target_` and its arguments")
        named[axis] = {"name": picked[axis]} | named[axis]
        _check_name(axis, str(picked[axis]), named[axis]["name"])
    for axis in SEVERAL:
        old = switched(named["log"]) if axis == MEASURE else []
        named[axis] = list(dict.fromkeys([*listed(axis, named[axis]), *old]))
    axes = [conf_file(axis, str(picked[axis])) for axis in (*CHOICES, "executor")]
    check_keys(named, [*chosen, conf_file("", "config"), *axes])
    return named


def _check_name(axis: str, choice: str, name: object) -> None:
    """See that a choice goes by its file's name: tables would make one row of two files that share a name.

    Args:
        axis: which.
        choice: the file, without its ending.
        name: what the choice is called once it is composed; perhaps what one of its `defaults` says, or the experiment.

    Raises:
        ConfigError: naming the file.
    """
    file = conf_file(axis, choice)
    if not isinstance(name, str):
        raise ConfigError(f"{shown(file)}: name: {name} must be a word, which tables go by")
    if name != choice:
        said = f"its name is {name}, by which tables would count its runs among those of {axis}={name}"
        raise ConfigError(f"{shown(file)}: {said}: write name: {choice} in it, or call the file {name}.yaml")


def _composed(file: str, groups: tuple[str, ...], choices: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """One file composed by Hydra, interpolations not yet resolved.

    Args:
        file: which.
        groups: the overrides that choose others.
        choices: group and name of the files that it is made of, where that is known.

    Raises:
        ConfigError: naming the file that cannot be read, or else what was chosen.
    """
    asked = [(key, name) for key, _, name in (text.lstrip("+").partition("=") for text in groups)]
    own = check_read([*choices, *asked], file == "config", conf_file, lambda path: PACKAGED in path.parents)
    try:
        config = hydra_compose(file, list(groups), return_hydra_config=file == "config")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{shown(Path(mark.name))}, line {mark.line + 1}" if mark is not None else " ".join(groups)
        raise ConfigError(f"{where}: not YAML ({error.problem})") from error
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        _check_files([*asked, ("", "config")])
        _check_named([*asked, ("", "config")])
        where = " or ".join(map(shown, own)) or " ".join(groups) or file
        raise ConfigError(f"{where}: {first_line(error)}") from error
    tree = OmegaConf.to_container(config, resolve=False)
    assert isinstance(tree, dict)
    return {str(k): v for k, v in tree.items()}


def conf_file(group: str, name: str) -> Path:
    """Where a choice's file is, or would be: the user's own before the packaged one."""
    relative = Path(group) / f"{name}.yaml"
    own = Path.cwd() / "conf" / relative
    return own if os.path.lexists(own) else PACKAGED / relative


def _check_named(chosen: Sequence[tuple[str, str]]) -> None:
    """Refuse a choice that is not there in the `defaults` of these files; an experiment that hides its own is one.

    Args:
        chosen: group and name of each.

    Raises:
        ConfigError: naming the file.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    loader = hydra.config_loader
    check_defaults(chosen, conf_file, lambda group: choices(loader, group))
    for group, name in chosen:
        if group == "experiment":
            check_headed(conf_file(group, name))


def _check_files(chosen: Iterable[tuple[str, str]]) -> None:
    """Refuse files of the user's that Hydra would not read, or read as something else.

    Args:
        chosen: group and name of each.

    Raises:
        ConfigError: naming the file.
    """
    for group, name in chosen:
        path = conf_file(group, name)
        if PACKAGED not in path.parents and (said := fault(path)):
            raise ConfigError(said)
