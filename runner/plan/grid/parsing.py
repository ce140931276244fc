"""What is typed, in Hydra's grammar, as settings of one value each.

optimizer.lr=0.1,0.3                      two values
optimizer.lr@shb=0.1,0.3                  of the runs with this choice only
optimizer.lr=tag(log,interval(1e-4,1))    a range that --draws takes points of
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from hydra.core.override_parser.types import Sweep as Several
from hydra.errors import HydraException

from batchlab.results.axes import SEVERAL
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.draws import Interval
from batchlab.runner.plan.grid.functions import parser
from batchlab.runner.plan.grid.grammar import mending
from batchlab.runner.plan.overrides import Setting, leaves


@dataclass(frozen=True)
class Sweep:
    """An override as it was typed, spread out into its settings.

    Attributes:
        key: Dotted.
        settings: One per value; of an interval a single one, whose value is the `Interval`.
        scope: The choice that it is for, `shb` or `optimizer.shb`; empty: for every run.
        text: As it was typed.
    """

    key: str
    settings: tuple[Setting, ...]
    scope: str = ""
    text: str = ""

    @property
    def interval(self) -> Interval | None:
        """What its values are drawn from; None where they were named."""
        value = self.settings[0].value
        return value if isinstance(value, Interval) else None

    @property
    def swept(self) -> bool:
        """Whether it has more than one value."""
        return len(self.settings) > 1 or self.interval is not None

    @property
    def adds(self) -> bool:
        """Whether it adds to what others say of its key, in whose place it does not stand."""
        return self.key in SEVERAL and self.settings[0].mode in ("add", "delete")


def parse(overrides: Sequence[str], config_loader: Any = None) -> list[Sweep]:
    """Parse overrides; `a=1,2`, `range(..)`, `logspace(..)`, `choice(..)` and `glob(..)` become several settings.

    Raises:
        ConfigError: on bad grammar, and on what a function in it refuses.
    """
    if not __debug__:  # Hydra's parser steps over a bracket in an assertion
        raise ConfigError("Hydra's grammar needs the assertions that -O or PYTHONOPTIMIZE leaves out: do without these")
    ours = parser(config_loader)
    sweeps = [_sweep(text, ours, config_loader) for text in overrides]
    once = [f"{s.key}@{s.scope}" if s.scope else s.key for s in sweeps if not s.adds]
    repeated = [key for i, key in enumerate(once) if key in once[:i]]
    if repeated:
        raise ConfigError(f"{repeated[0]} is given twice: give it once, as a list if a sweep is meant")
    return sweeps


def _sweep(text: str, ours: OverridesParser, config_loader: Any) -> Sweep:
    """One override, spread out."""
    try:
        override = ours.parse_override(text)
        override.config_loader = config_loader  # what glob(...) asks
        if not override.key_or_group or override.package == "":
            raise HydraException
        settings = _settings(text, override, ours)
    except HydraException as error:
        if "while evaluating" in str(error):  # a function in it, which says what it wants
            raise ConfigError(f"{text}: {' '.join(str(error.__cause__ or error).split())}") from error
        way = mending(text, lambda other: _said(ours.parse_override(other)))
        raise ConfigError(f"{text}: not an override: {way}") from error
    except ConfigError:
        raise
    except ValueError as error:  # of range(...)
        raise ConfigError(f"{text}: {error}") from error
    return Sweep(settings[0].key, settings, override.package or "", text)


def _settings(text: str, override: Override, ours: OverridesParser) -> tuple[Setting, ...]:
    asked = override._value
    within = asked.list if isinstance(asked, ChoiceSweep) else asked
    if any(isinstance(value, Several) for value in leaves(within) if value is not asked):
        raise ConfigError(f"{text}: what gives several values stands alone, not within a list, a block or a choice")
    if not override.is_sweep_override():
        return (_setting(override),)
    if isinstance(asked, IntervalSweep):
        single = _setting(override)
        interval = Interval.of(text, asked.start, asked.end, asked.tags)
        return (Setting(single.key, interval, single.mode, text, single.scope),)
    texts = [f"{text.split('=', 1)[0]}={value}" for value in override.sweep_string_iterator()]
    if not texts:
        raise ConfigError(f"{text}: matches nothing")
    return tuple(_setting(ours.parse_override(one)) for one in texts)


def _said(override: Override) -> object:
    """The value of an override, or that it asks for several."""
    return ... if override.is_sweep_override() else override.value()


def _setting(override: Override) -> Setting:
    mode = "add" if override.is_add() else "delete" if override.is_delete() else "change"
    if override.is_force_add():
        mode = "force"
    value = None if override._value is None else override.value()
    text = override.input_line or override.key_or_group
    return Setting(override.key_or_group, value, mode, text, override.package or "")
