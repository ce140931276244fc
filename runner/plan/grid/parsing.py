"""What is typed, in Hydra's grammar, as settings of one value each.

optimizer.lr=0.1,0.3                      two values
optimizer.lr@shb=0.1,0.3                  of the runs with this choice only
optimizer.lr=tag(log,interval(1e-4,1))    a range that --draws takes points of
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.override_parser.types import Sweep as Several
from hydra.errors import HydraException

from batchlab.results.axes import SEVERAL
from batchlab.runner.options import MAX_GRID, GridOptions
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.draws import Interval
from batchlab.runner.plan.grid.functions import parser
from batchlab.runner.plan.grid.grammar import literally, mending
from batchlab.runner.plan.overrides import Setting, leaves

WHOLE = re.compile(r"0|-?[1-9][0-9]*")


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


LONGEST = 20_000
"""Letters of an override: Hydra's parser takes seconds for so many, and hours for megabytes."""

DEEPEST = 32
"""Brackets within brackets: with as many dots in the key, what a frozen configuration is read back with."""


def parse(overrides: Sequence[str], config_loader: Any = None, options: GridOptions | None = None) -> list[Sweep]:
    """Parse overrides; `a=1,2`, `range(..)`, `logspace(..)`, `choice(..)` and `glob(..)` become several settings.

    Args:
        overrides: As they were typed.
        config_loader: Hydra's.
        options: Of the grid that they make; None: the usual ones.

    Raises:
        ConfigError: on bad grammar, on what a function in it refuses, and on more runs than a grid may have.
    """
    for text in overrides:
        if len(text) > LONGEST:
            raise ConfigError(
                f"{text[:40]}...: an override of {len(text):,} letters, where {LONGEST:,} are the most: write it into "
                "a file of ./conf"
            )
        if _depth(text) > DEEPEST:
            raise ConfigError(f"{text[:40]}...: is nested deeper than {DEEPEST} brackets, or its key has as many dots")
    if not __debug__:  # Hydra's parser steps over a bracket in an assertion
        raise ConfigError("Hydra's grammar needs the assertions that -O or PYTHONOPTIMIZE leaves out: do without these")
    ours = parser(config_loader)
    options = options or GridOptions()
    overrides = [_in_letters(text) for text in overrides]
    asked = [_parsed(text, ours, config_loader) for text in overrides]
    zipped = {key.strip().lstrip("+~") for text in options.zip for key in text.split(",")}
    free = [_count(one) for one in asked if not one.package and one.key_or_group not in zipped]
    check_size(math.prod(free), options, least=len(free) < len(asked))
    for one in asked:
        check_size(_count(one), options, least=True)
    sweeps = [_sweep(text, one, ours) for text, one in zip(overrides, asked, strict=True)]
    once = [f"{s.key}@{s.scope}" if s.scope else s.key for s in sweeps if not s.adds]
    repeated = [key for i, key in enumerate(once) if key in once[:i]]
    if repeated:
        raise ConfigError(f"{repeated[0]} is given twice: give it once, as a list if a sweep is meant")
    return sweeps


def _in_letters(text: str) -> str:
    """An override as its author wrote it, whatever letters this terminal is said to have: a run has one name in all.

    Raises:
        ConfigError: its bytes are no UTF-8.
    """
    if text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    try:
        return text.encode(errors="surrogateescape").decode()
    except UnicodeDecodeError:
        shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise ConfigError(
            f"{shown}: not UTF-8, as a configuration is: type it in a terminal with that encoding"
        ) from None


def _depth(text: str) -> int:
    """How many brackets are open at once, or dots in the key."""
    depths = accumulate((letter in "([{") - (letter in ")]}") for letter in text)
    return max(text.partition("=")[0].count("."), *depths, 0)


def check_size(runs: int, options: GridOptions, *, least: bool = False) -> None:
    """Refuse a grid of more runs than were meant.

    Args:
        runs: How many it has.
        options: Which say how many it may have.
        least: It has so many at least.

    Raises:
        ConfigError: With the option that allows it.
    """
    most = options.max_grid or MAX_GRID
    if runs > most:
        how = "at least " if least else ""
        raise ConfigError(
            f"a grid of {how}{runs:,} runs, where {most:,} are the most: leave values out, draw some of them with "
            f"--draws N, or allow it with --max-grid {runs}"
        )


def _count(override: Override) -> int:
    """How many values an override has, without spreading it out."""
    asked = override._value
    if isinstance(asked, RangeSweep) and asked.start is not None and asked.stop is not None and asked.step:
        return max(0, math.ceil((asked.stop - asked.start) / asked.step))
    return len(asked.list) if isinstance(asked, ChoiceSweep) else 1


def _parsed(text: str, ours: OverridesParser, config_loader: Any) -> Override:
    """One override, not spread out yet."""
    with _mended(text, ours):
        override = ours.parse_override(text)
        override.config_loader = config_loader  # what glob(...) asks
        if not override.key_or_group or override.package == "":
            raise HydraException
    return override


def _sweep(text: str, override: Override, ours: OverridesParser) -> Sweep:
    """One override, spread out."""
    with _mended(text, ours):
        settings = _settings(text, override, ours)
    return Sweep(settings[0].key, settings, override.package or "", text)


@contextmanager
def _mended(text: str, ours: OverridesParser) -> Iterator[None]:
    """Say of what Hydra refuses how it is written."""
    try:
        yield
    except HydraException as error:
        if "while evaluating" in str(error):  # a function in it, which says what it wants
            said = " ".join(str(error.__cause__ or error).split())
            raise ConfigError(f"{text}: {said}{literally(text) if 'Unknown function' in said else ''}") from error
        way = mending(text, lambda other: _said(ours.parse_override(other)))
        raise ConfigError(f"{text}: not an override: {way}") from error
    except ConfigError:
        raise
    except ValueError as error:  # of range(...)
        raise ConfigError(f"{text}: {error}") from error


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
    first = _setting(ours.parse_override(texts[0]))
    return tuple(_whole(first, one) or _setting(ours.parse_override(one)) for one in texts)


def _whole(first: Setting, text: str) -> Setting | None:
    """The setting of a whole number, for which no parser is needed: a grid may have 100,000 seeds."""
    value = text.partition("=")[2]
    return replace(first, value=int(value), text=text) if WHOLE.fullmatch(value) else None


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
