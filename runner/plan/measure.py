"""The `measure` axis: several choices at a time where other axes have one.

measure=[scores,gsnr]     these and no others
+measure=gsnr             also this one (a list for several)
~measure=gsnr             without this one
measure.gsnr.key=value    a key of one that is chosen

The first comes before all others, of which there may be several, in their order. Switches of old (log.gsnr=true) are
among them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from batchlab.results.legacy import SWITCHES, switch
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.overrides import Setting

AXIS = "measure"


def is_choice(setting: Setting) -> bool:
    """Whether an override says what is measured (not how: that is a key of one)."""
    return setting.key == AXIS or switch(setting.key) is not None


def listed(value: object, said: str = "config.yaml, or the experiment") -> list[str]:
    """Names of measures as a file or an override says them: one or a list of them, null for none.

    Args:
        value: what was said.
        said: where, for the message.

    Raises:
        ConfigError: something else.
    """
    named: list[Any] = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{said}: {AXIS} takes names, for example {AXIS}=[scores,full_gradient_norm], not {value!r}")
    return named


def switched(log: object) -> list[str]:
    """The measures that a file's `log` block turns on as batchlab 0.1 did; their switches are taken out of it.

    Raises:
        ConfigError: a switch that is neither true nor false.
    """
    if not isinstance(log, dict):
        raise ConfigError(f"log must be a block of keys, got {log!r}")
    found = {name: log.pop(name) for name in SWITCHES if name in log}
    for name, value in found.items():
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"log.{name} must be true or false, got {value!r} (it is now {AXIS}={name})")
    return [name for name, value in found.items() if value]


def chosen(before: Iterable[str], settings: Iterable[Setting]) -> list[str]:
    """The names of the measures, in order.

    Args:
        before: what the configuration files choose.
        settings: overrides for which `is_choice` holds.

    Raises:
        ConfigError: something that is neither a name nor a list of names.
    """
    names = list(dict.fromkeys(before))
    for setting in sorted(settings, key=_is_one_of_many):  # a stable sort
        old = switch(setting.key)
        if old is not None:
            on = setting.value if setting.mode != "delete" else False
            if not isinstance(on, bool):
                raise ConfigError(f"{setting.text}: {setting.key} must be true or false (it is now +{AXIS}={old})")
            names = [n for n in names if n != old] + [old] * on
            continue
        named = listed(setting.value, setting.text)
        if setting.mode == "add":
            names = list(dict.fromkeys([*names, *named]))
        elif setting.mode == "delete":
            if not named:
                raise ConfigError(f"{setting.text}: write ~{AXIS}=NAME; {_measured(names)}")
            missing = [name for name in named if name not in names]
            if missing:
                raise ConfigError(f"{setting.text}: {_not_measured(missing[0], names)}")
            names = [name for name in names if name not in named]
        else:
            names = list(dict.fromkeys(named))
    return names


def _is_one_of_many(setting: Setting) -> bool:
    """Whether a choice adds to others or takes from them."""
    return setting.key != AXIS or setting.mode in ("add", "delete")


def check_key(setting: Setting, names: Collection[str]) -> None:
    """See that an override below `measure` is of a key of one that is chosen; others pass.

    Args:
        setting: an override for which `is_choice` does not hold.
        names: of the measures that are chosen.

    Raises:
        ConfigError: with the way to choose one, or to leave it out.
    """
    axis, _, rest = setting.key.partition(".")
    name, _, key = rest.partition(".")
    if axis != AXIS:
        return
    if name not in names:
        way = "" if setting.mode == "delete" else f": +{AXIS}={name} adds it"
        raise ConfigError(f"{setting.text}: {_not_measured(name, names)}{way}")
    if setting.mode == "delete" and not key:
        raise ConfigError(f"{setting.text}: ~{AXIS}={name} leaves it out")


def _not_measured(name: str, names: Collection[str]) -> str:
    return f"{name} is not measured; {_measured(names)}"


def _measured(names: Collection[str]) -> str:
    return f"measured are {', '.join(names) or 'none'}"


def nodes(names: Iterable[str], load: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """name -> node, each a copy of its file's content with its name."""
    return {name: {"name": name} | load(name) for name in names}
