"""What the files of `conf/` say, the user's own before the packaged ones; Hydra composes them."""

from __future__ import annotations

from collections.abc import Iterator
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

from batchlab.results.axes import CHOICES
from batchlab.results.legacy import ALWAYS
from batchlab.runner.plan import measure
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.overrides import FIXED, suggest

# An editable install has no importable package here, only the folder: so a path, not importlib.resources.
PACKAGED = Path(__file__).resolve().parents[2] / "conf"
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
    return sorted(set(loader.get_group_options(group, ObjectType.CONFIG)))


def axes() -> dict[str, list[str]]:
    """Every axis and what it offers."""
    with hydra_session() as loader:
        return {group: choices(loader, group) for group in (*SINGLE, measure.AXIS)}


def compose_measure(loader: Any, name: str) -> dict[str, Any]:
    """What a measure's file says."""
    offered = choices(loader, measure.AXIS)
    if name not in offered:
        raise ConfigError(f"{measure.AXIS}={name}: {measure.AXIS} has no choice {name!r}; {suggest(name, offered)}")
    content = _composed(f"{measure.AXIS}/{name}", ())[measure.AXIS]
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{measure.AXIS}={name}: the file is empty; give it `_target_` and its arguments")
    return {str(k): v for k, v in content.items()}


def compose_groups(groups: tuple[str, ...]) -> dict[str, Any]:
    """One Hydra compose: the tree of these choices, interpolations not yet resolved."""
    named = _composed("config", groups)
    picked = named.pop("hydra")["runtime"]["choices"]
    named.pop("experiment", None)  # a leaf file without content; its choice is in what it set
    named.setdefault(measure.AXIS, list(ALWAYS))  # a config.yaml written for batchlab 0.1 has none
    missing = [key for key in FIXED if key not in named]
    if missing:
        raise ConfigError(f"config.yaml: {', '.join(missing)} is missing; is ./conf another program's? It comes first")
    for axis in (*CHOICES, "executor"):
        if not isinstance(named[axis], dict) or not named[axis]:
            raise ConfigError(f"{axis}={picked[axis]}: the file is empty; give it `_target_` and its arguments")
        named[axis] = {"name": picked[axis]} | named[axis]
    named[measure.AXIS] = list(dict.fromkeys([*measure.listed(named[measure.AXIS]), *measure.switched(named["log"])]))
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
        raise ConfigError(f"{' '.join(groups) or 'config.yaml'}: {first_line(error)}") from error
    tree = OmegaConf.to_container(config, resolve=False)
    assert isinstance(tree, dict)
    return {str(k): v for k, v in tree.items()}


def first_line(error: Exception) -> str:
    """What an error says first, with the cause that a colon announces."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
