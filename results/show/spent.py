"""Where the time of runs and their commands went: the answer of `batchlab status --time`. Standard library only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.status import RunStatus, Status
from batchlab.results.store.run import COMMANDS, SECONDS, State
from batchlab.results.store.times import Session
from batchlab.results.words import count, told, written

Parts = dict[str, float]
PARTS = {
    "before": "before the first run: composing and checking",
    "start": "start: from a run's launch to its first step",
    "data": "data: reading, and making batches",
    "tune": "tune: the search for a solver's step",
    "train": "train",
    "evaluate": "evaluate",
    "write": "write: rows, checkpoints, sealing",
    "tried": "tried: groups whose runs then trained alone",
    "idle": "idle: places that had nothing to do",
    "rest": "unaccounted: processes that end, and what was lost or trained anew",
}
OVERLAP = "parts overlap by {:,.2f} s ({:.1%}), as runs and their command count by themselves: all is their sum"
SEEN = 0.005
"""Seconds that are not 0.00."""
OF_RUNS = ("start", "data", "tune", "train", "evaluate", "write")


def parts_of(info: Mapping[str, Any]) -> Parts:
    """Where the time of a run went, by its run.json; of an earlier version without what nobody measured.

    The parts exclude each other. Of several ranks it is that of all places: each has one.
    """
    seconds = info.get(SECONDS) or {}
    ranks = info.get("hardware", {}).get("ranks") or 1
    found = {part: seconds[part] for part in ("start", "data", "tune", "write") if part in seconds}
    if "train_seconds" in info:
        found["train"] = info["train_seconds"] - seconds.get("data_training", 0.0)
        found["evaluate"] = info.get("eval_seconds", 0.0) - seconds.get("write_evaluating", 0.0)
    return {part: ranks * value for part, value in found.items()}


def by_command(info: Mapping[str, Any]) -> dict[str, Parts]:
    """The parts of a run by the command that spent them; "" where nobody said which."""
    found: dict[str, Parts] = {}
    before: Parts = {}
    for command, until in (info.get(COMMANDS) or {"": {}}).items():
        now = parts_of(info | until)
        found[command] = {part: max(0.0, seconds - before.get(part, 0.0)) for part, seconds in now.items()}
        before = now
    return found


def spent_sheets(status: Status, sessions: Sequence[Session], problems: Iterable[str] = ()) -> list[Sheet]:
    """The sums over runs and places, and the slowest value of each key.

    Args:
        status: The runs.
        sessions: Of the commands that trained them; those of other runs are left out.
        problems: Lines to show below.
    """
    times = {run_id: parts for run_id, state in status.states.items() if (parts := parts_of(state.info))}
    known = [one for one in sessions if one.places is not None and any(run in status.states for run in one.runs)]
    here = {run for one in known for run in one.runs} & times.keys() if known else set(times)
    told = {(run, one.command) for one in known for run in one.runs}
    sums: Parts = defaultdict(float)
    others: Parts = defaultdict(float)
    for run_id in times:
        for command, parts in by_command(status.states[run_id].info).items():
            counted = run_id in here and (not command or not known or (run_id, command) in told)
            for part, seconds in parts.items():
                if counted:
                    sums[part] += seconds
                else:
                    others[run_id] += seconds
    notes = [*_notes(status, times, here, others), *problems]
    running = status.counts.get(State.RUNNING, 0)
    if known:
        total = sum((one.places or 0) * one.wall for one in known)
        sums["before"] = sum((one.places or 0) * one.before for one in known)
        sums["idle"] = sum(one.idle or 0.0 for one in known)
        if tried := sum(one.tried for one in known):
            sums["tried"] = tried
        over = sum(sums.values()) - total
        sums["rest"] = max(0.0, -over)
        total += max(0.0, over)
        if over >= SEEN:
            notes.append(OVERLAP.format(over, over / total))
        wall = sum(one.wall for one in known)
        numbers = sorted({one.places or 0 for one in known})
        places = " or ".join(str(n) for n in numbers)
        said = f"{wall:,.1f} s on {places} {'place' if places == '1' else 'places'}, {count(len(known), 'command')}"
        if numbers != [1]:
            notes.append(f"seconds of places: a command of 10 s on {numbers[-1]} places has {10 * numbers[-1]}")
    else:
        total = sum(sums.values())
        said = "the runs' own time; when and where their commands ran is not known"
    shown = [part for part in PARTS if part in sums or (part not in ("tune", "tried") and times)]
    if running and times:
        notes.append(f"{running:,} running, whose times are not known yet")
    none = f"{running:,} running, no times yet" if running else "nothing was trained yet"
    sheet = Sheet(
        f"{status.title}: where {count(len(here), 'run')} went, {said}" if times else f"{status.title}: {none}",
        [Column(("what",)), Column(("seconds",), "right"), Column(("share",), "right")],
        [[Text(PARTS[part]), *_figures(sums.get(part), total)] for part in shown]
        + ([[Text("all"), *_figures(total, total)]] if times else []),
        notes,
        [{"part": part, "seconds": sums.get(part), "share": _share(sums.get(part), total)} for part in shown],
        "`batchlab status` says how far they are" if running else "start some with `batchlab sweep`",
    )
    return [sheet, *_slowest([run for run in status.runs if run.run_id in times], times)]


def _share(seconds: float | None, total: float) -> float | None:
    return None if seconds is None or not total else seconds / total


def _figures(seconds: float | None, total: float) -> list[Text]:
    share = _share(seconds, total)
    texts = ["unknown" if seconds is None else f"{seconds:,.2f}", "" if share is None else f"{share:.1%}"]
    return [Text(text, tone="dim" if seconds is None else "") for text in texts]


def _notes(status: Status, times: Mapping[str, Parts], here: set[str], others: Parts) -> list[str]:
    """What is not in the sums, or only in part; of `others` the seconds by run."""
    notes = []
    old = [run_id for run_id in here if "start" not in times[run_id]]
    if old:
        notes.append(f"{count(len(old), 'run')} of earlier versions: start, data and write of those are unknown")
    if others:
        who = "by other commands, or by one that was killed or trains now"
        spent = f"{sum(others.values()):,.1f} s, which are not in these sums"
        notes.append(f"{count(len(others), 'run')} trained, or begun, {who}: {spent}")
    together = sum(bool(status.states[run_id].info.get("fused")) for run_id in here)
    if together:
        notes.append(f"{count(together, 'run')} trained together with others: each has its share of their time")
    return notes


def _slowest(runs: Sequence[RunStatus], times: Mapping[str, Parts]) -> list[Sheet]:
    """Of each key that has several values the one whose runs took longest."""
    by_key: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        own = dict(told(text).lstrip("+~").partition("=")[::2] for text in run.overrides) | run.labels
        for key, value in own.items():
            by_key[key][written(value)].append(sum(times[run.run_id].values()))
    rows, records = [], []
    for key, values in by_key.items():
        if len(values) < 2:
            continue
        slowest = max(values, key=lambda value: fmean(values[value]))
        others = fmean(s for value, seconds in values.items() if value != slowest for s in seconds)
        took = fmean(values[slowest])
        texts = [key, slowest, f"{len(values[slowest]):,}", f"{took:,.2f}", f"{others:,.2f}"]
        rows.append([Text(text) for text in texts])
        names = ("key", "value", "runs", "seconds_a_run", "others_seconds_a_run")
        records.append(dict(zip(names, [key, slowest, len(values[slowest]), took, others], strict=True)))
    if not rows:
        return []
    columns = [
        Column(("key",)),
        Column(("slowest",)),
        *(Column((name,), "right") for name in ("runs", "s a run", "s a run of the others")),
    ]
    return [Sheet("the slowest value of each key", columns, rows, [], records)]
