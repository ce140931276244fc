"""Keys that a user adds beside a run's own: `+note=first` is kept with the run, and means nothing to it.

What looks as if it were to mean something is refused, `+metric=f1` or `+epochs=5`: nobody would see that it does not.
"""

from __future__ import annotations

import difflib
from typing import Any

from batchlab.results.axes import SEVERAL
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.overrides import NOT_KEYS, Setting, dotted

MEANT = {
    "metric": "measure",
    "metrics": "measure",
    "callbacks": "callback",
    "logger": "callback",
    "batch_size": "batch_schedule.size",
    "learning_rate": "optimizer.lr",
    "scheduler": "lr_schedule",
}
"""What such a key is called here, where no key has its name."""


def check(setting: Setting, tree: dict[str, Any]) -> None:
    """Refuse a new key that is called as one of the run's is, or nearly as one of its blocks; `++` forces it.

    Args:
        setting: an override.
        tree: the run, without it.

    Raises:
        ConfigError: with the key that was meant.
    """
    top, _, rest = setting.key.partition(".")
    if setting.mode != "add" or top in tree:
        return
    meant = [MEANT[top]] if top in MEANT else difflib.get_close_matches(top, tree, 1, cutoff=0.8)
    if not rest and not meant:
        tails = ((key, key.rpartition(".")[2]) for key, _ in dotted(tree))
        meant = [key for key, tail in tails if tail == top and tail not in NOT_KEYS]
    if not meant:
        return
    way = f"{'+' if meant[0] in SEVERAL else ''}{meant[0]}=..."
    table = "; `batchlab table --metric` chooses what a table shows" if meant[0] == "measure" else ""
    raise ConfigError(
        f"{setting.text}: a new key {top} would mean nothing to the run: did you mean {way}?{table} "
        f"(++{setting.key}=... keeps it as a note)"
    )
