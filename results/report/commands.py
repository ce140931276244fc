"""The command that trains a run of a report again, or a sweep: what its buttons copy.

A run knows its whole configuration and not how it was asked for, so the command is made of what its configuration says
other than the packaged files do. It names every such key, and gives the same run wherever `./conf` has no file in the
place of a packaged one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from batchlab.results.axes import CHOICES, NEUTRAL, SEVERAL, within
from batchlab.results.compare.frame import MISSING
from batchlab.results.papers.catalogue import known_papers
from batchlab.results.papers.scale import Scale
from batchlab.results.store.runs import Sweep
from batchlab.results.store.yaml_file import read_yaml
from batchlab.results.words import exact, told

PACKAGED = Path(__file__).resolve().parents[2] / "conf"
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
NAMED = re.compile(r"\$\{(classes|shape|vocabulary|steps|epochs)(\[-?\d+\])?\}")
"""What the data set tells when a run begins; until then it stands as it is written."""
WORDS = ("null", "true", "false", "inf", "nan")
"""What a value without quotes would be taken for something else than text."""
OWN = object()
"""Stands for what a file says that does not come with batchlab."""


def run_overrides(config: Mapping[str, Any]) -> list[str]:
    """The overrides that compose a configuration, less what cannot change a number.

    Args:
        config: Of a run that began.
    """
    base = _file("config")
    found: list[str] = []
    for key, value in config.items():
        if key in CHOICES and isinstance(value, Mapping):
            name = str(value.get("name"))
            if {key: name} not in base.get("defaults", []):
                found.append(f"{key}={written(name)}")
            found += _differing(key, value, _file(f"{key}/{name}"))
        elif key in SEVERAL and isinstance(value, Mapping):
            names = list(value)
            if names != base.get(key) and key not in NEUTRAL:
                found.append(f"{key}={written(names)}")
            for name in names:
                found += _differing(f"{key}.{name}", value[name], _file(f"{key}/{name}"))
        else:
            found += _differing(key, value, base.get(key, MISSING))
    return [text for text in found if not within(_parted(text.lstrip("+~"))[0], NEUTRAL)]


def run_command(config: Mapping[str, Any]) -> str:
    """`batchlab train ...` that gives this run, for a shell; empty for one that has no configuration yet."""
    return shlex.join(["batchlab", "train", *run_overrides(config)]) if config else ""


def sweep_command(sweep: Sweep, configs: Mapping[str, Mapping[str, Any]]) -> str:
    """The command that gives a sweep, for a shell; empty where none is known.

    It is the one that asked for it. Where its manifest has none, or others of its runs were there before, one is made
    of its runs' configurations, if they are a grid of values.

    Args:
        sweep: One called after a paper and a scale is that paper's reproduction.
        configs: The configurations of its runs, by identity.
    """
    if sweep.alone:
        return run_command(configs.get(sweep.name, {}))
    if sweep.asked.command and not sweep.asked.part:
        return shlex.join(["batchlab", *sweep.asked.command])
    papers = {f"{paper}-{scale}": (paper, str(scale)) for paper in known_papers() for scale in Scale}
    if sweep.name in papers:
        paper, scale = papers[sweep.name]
        return shlex.join(["batchlab", "reproduce", paper, "--scale", scale])
    known = [config for entry in sweep.entries if (config := configs.get(entry.run_id))]
    if not known or len(known) < len(sweep.entries) or any(entry.labels for entry in sweep.entries):
        return ""
    values = [dict(map(_parted, map(told, entry.overrides))) for entry in sweep.entries]
    keys = [key for key in values[0] if all(key in own for own in values)]  # what only some name is alike, or no grid
    if any("@" in key or key[0] in "+~" for key in keys):
        return ""
    offered = {key: list(dict.fromkeys(own[key] for own in values)) for key in keys}
    if len(sweep.entries) != len([*product(*offered.values())]):
        return ""
    fixed = _fixed(known, keys)
    if fixed is None:
        return ""
    swept = [f"{key}={','.join(texts)}" for key, texts in offered.items()]
    return shlex.join(["batchlab", "sweep", *fixed, *swept, "--name", sweep.name])


def _fixed(configs: Sequence[Mapping[str, Any]], swept: Sequence[str]) -> list[str] | None:
    """The overrides that all runs of a grid have beside what was swept; None where some have other ones."""
    asked = dict.fromkeys(text for config in configs for text in run_overrides(config))
    fixed: dict[str, str] = {}
    for text in asked:
        mark, (key, _) = re.match(r"[+~]*", text)[0], _parted(text.lstrip("+~"))  # type: ignore[index]  # always matches
        if key in swept or key in fixed:
            continue
        found = [_of(config, key) for config in configs]
        if mark == "~" or any(value != found[0] for value in found):
            return None
        fixed[key] = f"{mark}{key}={written([*found[0]] if key in SEVERAL else found[0])}"
    return [*fixed.values()]


def _of(config: Any, key: str) -> Any:
    """What a configuration has at a dotted key: of a choice its name."""
    for part in key.split("."):
        config = config.get(part, MISSING) if isinstance(config, Mapping) else MISSING
    return config["name"] if key in CHOICES else config


def _parted(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def written(value: Any) -> str:
    r"""A value in Hydra's grammar.

    >>> written([64, 1e-05, None, True]), written("it's a, b"), written("${x}"), written({"a": "null"})
    ('[64,1e-5,null,true]', "'it\\'s a, b'", "'\\${x}'", "{a:'null'}")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{written(item)}' for key, item in value.items())}}}"
    if isinstance(value, (int, float)):
        return exact(value) if isinstance(value, float) else repr(value)
    text = str(value)
    if (PLAIN.fullmatch(text) and text.lower() not in WORDS) or NAMED.fullmatch(text):
        return text
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)  # backslashes count where a quote follows, and only there
    escaped = re.sub(r"(\\+)\Z", r"\1\1", escaped)
    return "'" + escaped.replace("${", r"\${") + "'"


def _differing(key: str, value: Any, packaged: Any) -> list[str]:
    """The overrides that make what a file says what a configuration says.

    Args:
        key: Dotted.
        value: What the configuration has there.
        packaged: What the file has; `OWN`: the file is somebody's own, or `MISSING`: it has no such key.
    """
    if isinstance(value, Mapping) and (packaged is OWN or isinstance(packaged, Mapping)):
        known: Mapping[str, Any] = packaged if isinstance(packaged, Mapping) else {}
        found = []
        for name, item in value.items():
            if name != "name" and not (packaged is OWN and name == "_target_"):
                found += _differing(f"{key}.{name}", item, OWN if packaged is OWN else known.get(name, MISSING))
        return [*found, *(f"~{key}.{name}" for name in known if name not in value)]
    if type(value) is type(packaged) and value == packaged:
        return []
    return [f"{'++' if packaged == MISSING else ''}{key}={written(value)}"]


@cache
def _file(name: str) -> Any:
    """What a packaged file says; `OWN` where there is none."""
    path = PACKAGED / f"{name}.yaml"
    return read_yaml(path) if path.is_file() else OWN
