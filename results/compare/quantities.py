"""What is known of a measured column: which direction is better, its words, unit and scale.

A run declares it for what it measured, in `run.json` under `quantities`; the registry here knows the names of the
columns that batchlab writes itself, and those that usually mean one thing (`auc`, `..._loss`). NumPy is imported
for its types alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is known of a measured column. `dataclasses.asdict` makes of it what `run.json` holds.

    Attributes:
        better: Which direction is better. None: not a matter of better or worse (batch size), so nothing is
            called best.
        label: The words for it; empty: the column's name.
        unit: Of the values as shown (`%`, `s`).
        scale: Shown values are stored values times this.
        log: Spans orders of magnitude: logarithmic axes, and differences are ratios. (Counts are, as times to a
            target.)
    """

    better: Direction | None = None
    label: str = ""
    unit: str = ""
    scale: float = 1.0
    log: bool = False

    @property
    def share(self) -> bool:
        """Whether it is stored from 0 to 1 and shown in %."""
        return self.unit == "%" and self.scale == 100

    @property
    def apart(self) -> str:
        """The unit of a difference of two values as shown: `points` of %; empty where differences are ratios."""
        return "" if self.log else "points" if self.unit == "%" else self.unit


# The registry: the first pattern that matches the whole column name.
QUANTITIES: tuple[tuple[str, Quantity], ...] = (
    (r"test_accuracy", Quantity("up", "test accuracy", "%", 100)),
    (r"validation_accuracy", Quantity("up", "validation accuracy", "%", 100)),
    (r"train_accuracy", Quantity("up", "train accuracy", "%", 100)),
    (r".*accuracy.*", Quantity("up", "", "%", 100)),
    (r"test_loss", Quantity("down", "test loss")),
    (r"validation_loss", Quantity("down", "validation loss")),
    (r"train_loss", Quantity("down", "train loss", log=True)),
    (r"full_gradient_norm", Quantity("down", "full gradient norm", log=True)),
    (r"full_gradient_norm_paper", Quantity("down", "full gradient norm (as the paper)", log=True)),
    (r"perplexity_gain", Quantity("up", "rival's perplexity over VR's", log=True)),
    (r"auc_gain", Quantity("up", "AUC", "%", 100)),
    (r".*(loss|gap|error|mse).*", Quantity("down", log=True)),
    # of layers.parquet: r, the multiplier that comes of a gradient's signal-to-noise ratio
    (r"gsnr", Quantity(None, "mean signal-to-noise ratio, not normalised", log=True)),
    (r"mean", Quantity(None, "mean multiplier")),
    (r"q\d\d", Quantity(None, "quantile of the multiplier")),
    (r"clipped_low", Quantity(None, "share at the lower clip", "%", 100)),
    (r"clipped_high", Quantity(None, "share at the upper clip", "%", 100)),
    (r".*gradient_norm.*", Quantity("down", log=True)),
    (r".*(auc|f1|r2).*", Quantity("up")),
    (r".*seconds", Quantity("down", "", "s", log=True)),
    (r"samples|steps|epochs?|gradients|flops", Quantity("down", log=True)),
    (r"batch_size|average_batch", Quantity(log=True)),
)

POSITIVE = re.compile(r".*(loss|error|mse|norm|perplexity|seconds|batch_size).*")
"""Columns that are at least 0."""


def quantity(name: str) -> Quantity:
    """What the registry knows of a column; a `Quantity` without direction where it knows nothing."""
    return next((known for pattern, known in QUANTITIES if re.fullmatch(pattern, name)), Quantity())


def bounds(name: str, known: Quantity, values: NDArray[np.float64]) -> tuple[float, float]:
    """Between what the values of a column lie by what it is; infinite on a side where that is not known.

    Args:
        name: The column.
        known: What is known of its values.
        values: Some of them; a bound that one of them is beyond is none.
    """
    least, most = (0.0, 1.0) if known.share else (-math.inf, math.inf)
    if known.log or POSITIVE.fullmatch(name):
        least = 0.0
    return (-math.inf if (values < least).any() else least), (math.inf if (values > most).any() else most)


def declared(infos: Iterable[Mapping[str, Any]]) -> dict[str, Quantity]:
    """What runs declare of their columns, over what the registry knows.

    Of runs that declare different things the one that changed last is believed: so a declaration can be mended. What
    cannot be read (another version's, or damaged) counts as not declared.

    Args:
        infos: The content of each run's `run.json`.

    Returns:
        The quantity of each declared column, by its name.
    """
    found: dict[str, Quantity] = {}
    for info in sorted(infos, key=lambda info: str(info.get("changed", ""))):
        said = info.get("quantities")
        for name, items in said.items() if isinstance(said, dict) else ():
            if isinstance(items, dict):
                known = {field.name: items[field.name] for field in fields(Quantity) if field.name in items}
                found[name] = replace(quantity(name), **{k: v for k, v in known.items() if _VALID[k](v)})
    return found


_VALID = {
    "better": lambda value: value in ("up", "down", None),
    "label": lambda value: isinstance(value, str),
    "unit": lambda value: isinstance(value, str),
    "scale": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0,
    "log": lambda value: isinstance(value, bool),
}
