"""A `Sheet`: what every table, list of claims and status is before it gets a format. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from batchlab.results.words import exponent


class Format(StrEnum):
    """What a sheet can be printed as (`render`)."""

    RICH = "rich"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Text:
    """One cell.

    Attributes:
        text: What it says.
        bold: Whether it stands out.
        detail: A smaller line beneath.
        tone: `good`, `bad`, `dim` or none: its colour.
    """

    text: str
    bold: bool = False
    detail: str = ""
    tone: Literal["", "good", "bad", "dim"] = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        header: Its titles, from the outermost level to the innermost; neighbours share equal outer ones.
        align: Of its cells.
    """

    header: tuple[str, ...]
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Sheet:
    """A table ready to be rendered (`render.render`).

    Attributes:
        title: Above it.
        columns: Headers and alignment.
        rows: One cell per column each.
        notes: Below it: how to read it.
        records: The same content for machines, one record per cell: what CSV is made of.
        empty: Said in place of rows where there are none.
    """

    title: str
    columns: list[Column]
    rows: list[list[Text]]
    notes: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    empty: str = "nothing to show"


def decimals(spread: float, value: float) -> int:
    """Decimal places that show two digits of `spread`, or four of `value` where there is no spread."""
    if math.isfinite(spread) and spread > 0:
        return max(0, 1 - math.floor(math.log10(spread)))
    if math.isfinite(value) and value != 0:
        return max(0, 3 - math.floor(math.log10(abs(value))))
    return 0 if value == 0 else 2


def number(value: float, places: int) -> str:
    """A number with so many decimal places; scientific where that would be mostly zeros, or digits without end.

    >>> number(91.234, 1), number(0.00000123, 8), number(float("inf"), 2), number(1234567.0, -1), number(4e33, 0)
    ('91.2', '1.23e-6', '∞', '1,234,567', '4.00e33')

    Args:
        value: Any, NaN and infinities too.
        places: Decimal places; none where that is negative.
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 1e9:
        return exponent(f"{value:.2e}")
    if places > 5 and abs(value) < 1e-2:
        digits = 0 if value == 0 else max(0, places + math.floor(math.log10(abs(value))))
        return exponent(f"{value:.{min(digits, 3)}e}")
    return f"{value:,.{min(max(places, 0), 6)}f}"


def vanishes(value: float, places: int) -> bool:
    """Whether a number that is not nought reads as nought with so many decimal places.

    >>> vanishes(0.0239, 1), vanishes(0.0239, 2), vanishes(0.0, 2), vanishes(1e-9, 8)
    (True, False, False, False)
    """
    return 0 < abs(value) < math.inf and not number(abs(value), places).strip("0.")


def uncertain(value: float, spread: float, places: int | None = None) -> str:
    """`mean ± std`, rounded by the uncertainty.

    >>> uncertain(91.2345, 0.1234), uncertain(0.5, float("nan")), uncertain(123456.0, 2345.0)
    ('91.23 ± 0.12', '0.5000', '123,456 ± 2,345')

    Args:
        value: The mean.
        spread: The uncertainty; where it is NaN only the value is shown.
        places: Decimal places; None: as many as show two digits of `spread`.
    """
    places = decimals(spread, value) if places is None else places
    text = number(value, places)
    return text if math.isnan(spread) else f"{text} ± {number(spread, places)}"


OPEN = 1e6
"""An interval of a ratio that spans more says nothing: its ends are not worth their digits."""
TOO_WIDE = "[too wide to tell]"
"""What is said in its place."""
SAME = "the same numbers in every seed"
"""What is said in the place of an interval where nothing differs."""


def factor(value: float) -> str:
    """A ratio with three digits.

    >>> factor(0.4), factor(0.00133), factor(1.23456e-5), factor(1280.4), factor(999_999.0), factor(2.5e33)
    ('0.4', '0.00133', '1.23e-5', '1,280', '1,000,000', '2.5e33')
    """
    return f"{float(f'{value:.3g}'):,.0f}" if _whole(value) else exponent(f"{value:.3g}")


def _whole(value: float) -> bool:
    """Whether three digits of a ratio are its whole thousands."""
    return float(f"{value:.3g}") >= 1000 and value < OPEN


def factors(*values: float) -> list[str]:
    """Ratios that belong together: where one of them has three digits, no other is cut short of its noughts.

    >>> factors(999.6, 500.0, 1001.0)
    ['1,000', '500', '1,000']
    >>> factors(1.2, 1.0, 1.37), factors(0.4, 0.2, 0.8), factors(12.0, 1.5, 128.0), factors(1.0, 0.001, 2.55e8)
    (['1.20', '1.00', '1.37'], ['0.4', '0.2', '0.8'], ['12.0', '1.50', '128'], ['1.00', '0.00100', '2.55e8'])
    """
    texts = [factor(value) for value in values]
    if max(len(text.partition("e")[0].replace(".", "").lstrip("0")) for text in texts) < 3:
        return texts
    return [
        text if value <= 0 or _whole(value) else exponent(f"{value:#.3g}".replace(".e", "e").removesuffix("."))
        for text, value in zip(texts, values, strict=True)
    ]


def effect_text(middle: float, low: float, high: float, *, ratio: bool, most: float = math.inf, unit: str = "") -> str:
    """A difference or a ratio with its interval, where it has one.

    >>> effect_text(1.5, 0.25, 2.75, ratio=False), effect_text(0.4, 0.2, 0.8, ratio=True)
    ('+1.50 [+0.25, +2.75]', '× 0.4 [0.2, 0.8]')
    >>> effect_text(2.0, 0.0, 1e9, ratio=True), effect_text(-3.0, math.nan, math.nan, ratio=False)
    ('× 2 [too wide to tell]', '-3.000')
    >>> effect_text(-5.0, -711.0, 701.0, ratio=False, most=100.0)
    '-5 [too wide to tell]'
    >>> effect_text(42.0, -23.0, 107.0, ratio=False, most=100.0)
    '+42 [-23, +100]'
    >>> effect_text(-0.4, -24.0, 23.0, ratio=False)
    '0 [-24, +23]'
    >>> effect_text(1.0, 1.0, 1.0, ratio=True), effect_text(0.0, 0.0, 0.0, ratio=False)
    ('× 1, the same numbers in every seed', '0, the same numbers in every seed')
    >>> effect_text(1.5, 0.25, 2.75, ratio=False, unit="points")
    '+1.50 [+0.25, +2.75] points'
    >>> effect_text(-5.0, -711.0, 701.0, ratio=False, most=100.0, unit="points")
    '-5 points [too wide to tell]'

    Args:
        middle: The estimate, as it is shown.
        low: Lower end; NaN without an interval.
        high: Upper end.
        ratio: Whether it is a ratio.
        most: What two values can differ by at most, as it is shown, where the interval ends: 100 for accuracies in %.
        unit: Of a difference.
    """
    if low == high == middle == (1 if ratio else 0):
        return f"{'× 1' if ratio else '0'}, {SAME}"
    if ratio:
        if math.isnan(low) or high >= OPEN * low:
            return f"× {factor(middle)}{'' if math.isnan(low) else f' {TOO_WIDE}'}"
        shown, *ends = factors(middle, low, high)
        return f"× {shown} [{', '.join(ends)}]"
    of = f" {unit}" if unit else ""
    if math.isnan(low):
        return f"{_signed(middle, decimals(math.nan, middle))}{of}"
    places = decimals((high - low) / 4, middle)
    if low <= -most and high >= most:
        return f"{_signed(middle, places)}{of} {TOO_WIDE}"
    low, high = max(low, -most), min(high, most)
    return f"{_signed(middle, places)} [{_signed(low, places)}, {_signed(high, places)}]{of}"


def _signed(value: float, places: int) -> str:
    """With its sign, unless nothing but noughts is left of it."""
    text = f"{value:+.{places}f}"
    return text if text.strip("+-0.") else text[1:]


def p_value(p: float) -> str:
    """`p 0.012`, `p <0.001`.

    >>> p_value(0.0123), p_value(2e-9), p_value(1.0)
    ('p 0.012', 'p <0.001', 'p 1')
    """
    return "p <0.001" if p < 0.001 else f"p {p:.2g}"
