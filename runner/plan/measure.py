"""The `measure` axis: several choices at a time where other axes have one.

measure=[scores,gsnr]     these and no others
+measure=gsnr             also this one (a list for several)
~measure=gsnr             without this one
measure.gsnr.key=value    a key of one that is chosen
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from batchlab.results.legacy import switch
from batchlab.runner.plan.overrides import Setting
from batchlab.runner.plan.schema import ConfigError

AXIS = "measure"


def is_choice(setting: Setting) -> bool:
    """Whether an override says what is measured (not how: that is a key of one)."""
    return setting.key == AXIS or switch(setting.key) is not None


def chosen(before: Iterable[str], settings: Iterable[Setting]) -> list[str]:
    """The names of the measures, in order.

    Args:
        before: what the configuration files choose.
        settings: overrides for which `is_choice` holds.

    Raises:
        ConfigError: something that is neither a name nor a list of names.
    """
    names = list(dict.fromkeys(before))
    for setting in settings:
        old = switch(setting.key)
        if old is not None:
            if not isinstance(setting.value, bool):
                raise ConfigError(f"{setting.text}: {setting.key} must be true or false (it is now +{AXIS}={old})")
            names = [n for n in names if n != old] + [old] * setting.value
            continue
        named = _names(setting)
        if setting.mode == "add":
            names = list(dict.fromkeys([*names, *named]))
        elif setting.mode == "delete":
            missing = [name for name in named if name not in names]
            if missing or not named:
                what = missing[0] if missing else "nothing"
                raise ConfigError(f"{setting.text}: {what} is not measured; measured are {', '.join(names)}")
            names = [name for name in names if name not in named]
        else:
            names = list(dict.fromkeys(named))
    return names


def _names(setting: Setting) -> list[str]:
    value = [] if setting.value is None else setting.value
    named = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{setting.text}: {AXIS} takes names, for example {AXIS}=[scores,full_gradient_norm]")
    return named


def nodes(names: Iterable[str], load: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """name -> node, each a copy of its file's content with its name."""
    return {name: {"name": name} | load(name) for name in names}
