"""Where a step's time went: what `batchlab train --profile` prints. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.words import count

PHASES = ("data", "forward", "backward", "reduce", "moments", "optimizer", "logging", "loop")
FEW = 20
"""Steps of which the shares are not those of a run."""


def profile_sheet(found: dict[str, Any], folder: Path) -> Sheet:
    """The phases of a step, and apart what is no part of it.

    Args:
        found: What the run wrote (`runner.train.profile`).
        folder: Of the run's logs.
    """
    steps, seconds = max(1, found["steps"]), found["seconds"]
    total = sum(seconds.values())
    names = [*PHASES, *(name for name in seconds if name not in PHASES)]
    rows, records = [], []
    for name in (name for name in names if name in seconds):
        each, share = 1e3 * seconds[name] / steps, seconds[name] / total if total else 0.0
        rows.append([Text(name), Text(f"{each:.3f}"), Text(f"{share:.1%}")])
        records.append({"phase": name, "milliseconds": each, "share": share})
    rows.append([Text("a step"), Text(f"{1e3 * total / steps:.3f}"), Text("100.0%")])
    notes = [
        f"{count(n, name)} apart: {1e3 * took / n:.3f} ms each, {took:.2f} s in all"
        for name, (n, took) in found["apart"].items()
    ]
    if found["steps"] < FEW:
        notes.append(f"only {count(found['steps'], 'step')}; the first are slow: train longer to measure")
    if found["device"] != "cpu":
        notes.append("the device is waited for at each boundary, so that a step takes longer than without --profile")
    if found["ranks"] > 1:
        notes.append(f"of rank 0 of {found['ranks']}; reduce is also waiting for the others")
    if found["trace"]:
        notes.append(f"trace, for chrome://tracing or ui.perfetto.dev: {folder / found['trace']}")
    return Sheet(
        f"where a step's time went: {count(found['steps'], 'step')} on {found['device']}",
        [Column(("phase",)), Column(("ms a step",), "right"), Column(("share",), "right")],
        rows,
        notes,
        records,
    )
