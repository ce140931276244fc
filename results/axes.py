"""What an axis of a comparison is, and which keys of a configuration cannot tell two methods apart."""

from __future__ import annotations

CHOICES = ("optimizer", "lr_schedule", "batch_schedule", "model", "dataset")
"""Axes whose values are choices: a YAML file each, in a folder of `conf/` of this name."""
SEVERAL = ("measure", "callback")
"""Of which a run has several choices at a time; an override can add one, or leave it out."""
AXES = (*CHOICES, "seed")
"""What a comparison is made over."""
COLUMNS = (*AXES, "run_id")
"""What stands in every row of a run's Parquet files."""
COLUMN = r"[A-Za-z_]\w*"
"""What any other column of theirs may be called, as a pattern: what a metric's grammar can name."""
NEUTRAL = ("executor", "callback", "dataset.root", "train.device", "train.checkpoint_seconds")
"""Keys, with all below them, that cannot change a recorded number, except through rounding on another device: they are
no part of a run's identity."""
RECORDING = ("log", "measure")
"""Keys, with all below them, that say what is written down: part of a run's identity, as a row that was not measured is
not there, but runs that differ in nothing else are repeats of each other."""

CONTENDED = 1.2
"""Above this `contention`, which run.json has of a run on the CPU, its times say too much of what else ran there."""


def within(key: str, among: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of `among` or stands below one.

    >>> within("executor.threads", NEUTRAL), within("train.epochs", NEUTRAL), within("seed", AXES)
    (True, False, True)
    """
    return any(key == one or key.startswith(f"{one}.") for one in among)
