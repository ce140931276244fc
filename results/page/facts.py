"""What was run, where and for how long: the facts that a table of results stands on, a line each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from batchlab.results.axes import CONTENDED, NEUTRAL, within
from batchlab.results.compare.choice import judged
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.papers.beside import setting
from batchlab.results.store.run import State
from batchlab.results.words import count, listing

TOLD = ("batchlab", "python", "torch", "numpy", "scipy")
"""Whose versions are said."""
UNITS = ((3600.0, "hours"), (60.0, "minutes"))


def facts(frame: Frame, plan: Mapping[str, Any] | None = None) -> list[str]:
    """What was run, a line each.

    Args:
        frame: All runs of a recorded sweep, in any state.
        plan: What was declared before the first look at it; None: nothing was.
    """
    begun = frame.select(lambda run: bool(run.config))
    lines = [f"Data, network, length: {setting(begun)}", _runs(frame)]
    if plan:
        looks = ", ".join(map(str, plan.get("looks", [])))
        most = len({run.value("seed") for run in judged(begun).runs})
        more = f". So far there are {most}: the same command goes on" if most < max(plan.get("looks", [0])) else ""
        lines.append(
            f"Seeds are added by a rule that was declared before the first judged run: looks at {looks} seeds, only "
            f"where a claim can still be decided{more}"
        )
    lines += [_where(begun), _time(begun)]
    return [line for line in lines if line]


def _runs(frame: Frame) -> str:
    """How many runs, what for, how they ended; those that were planned and never began are none."""
    left = sum(run.state is State.PENDING for run in frame.runs)
    frame = frame.select(lambda run: run.state is not State.PENDING)
    own = judged(frame)
    choosing = len(frame.runs) - len(own.runs)
    said = f"{count(len(own.runs), 'judged run')}{_seeds(own)}"
    if choosing:
        said += f", and {count(choosing, 'run')} on seeds of their own that chose settings and are judged in nothing"
    lost = Counter(run.state for run in frame.runs if run.state is not State.DONE)
    ended = listing([f"{n:,} {state}" for state, n in lost.most_common()])
    said += f". {f'Not done: {ended}; they are counted beside every mean' if ended else 'All are done'}"
    return f"{said}. {left:,} more were planned and not trained" if left else said


def _seeds(own: Frame) -> str:
    """How many seeds the judged runs have: ` with 3 seeds`, or by settings where these differ."""
    found: dict[str, list[Any]] = {}
    for run in own.runs:
        asked = {key: value for key, value in run.config.items() if key != "seed" and not within(key, NEUTRAL)}
        found.setdefault(json.dumps(asked, sort_keys=True, default=str), []).append(run.value("seed"))
    sizes = Counter[int]()
    for seeds in found.values():
        sizes[len(set(seeds))] += len(seeds)
    most = max(sizes, default=0)
    if len(sizes) < 2:
        return f" with {count(most, 'seed')}"
    fewer = sorted(size for size in sizes if size < most)
    rest = sum(sizes[size] for size in fewer)
    ends = str(fewer[0]) if len(fewer) == 1 else f"{fewer[0]} to {fewer[-1]}"
    return f": {sizes[most]:,} at settings with {count(most, 'seed')}, {rest:,} at others with {ends}"


def _where(frame: Frame) -> str:
    """Hardware, versions and commits."""
    places = list(dict.fromkeys(filter(None, (_hardware(run) for run in frame.runs))))
    versions: dict[str, dict[str, None]] = {}
    for run in frame.runs:
        for name, version in _mapping(run, "versions").items():
            versions.setdefault(name, {})[str(version)] = None
    known = [f"{name} {' and '.join(versions[name])}" for name in TOLD if name in versions]
    commits = list(dict.fromkeys(str(run.info["git"]) for run in frame.runs if run.info.get("git")))
    changed = "; + is a commit with changes of its own" if any(commit.endswith("+") for commit in commits) else ""
    parts = [listing(places), ", ".join(known), f"commit {listing(commits)}{changed}" if commits else ""]
    return f"Where: {'. '.join(filter(None, parts))}" if any(parts) else ""


def _hardware(run: RunRow) -> str:
    known = _mapping(run, "hardware")
    if not known:
        return ""
    parts = [str(known.get("device", "unknown device"))]
    if "cores" in known:
        parts.append(f"machine of {count(int(known['cores']), 'core')}")
    if "threads" in known:
        parts.append(f"{count(int(known['threads']), 'thread')} a run")
    return ", ".join(parts)


def _time(frame: Frame) -> str:
    """How long all of it took, and when it was."""
    spent = sum(float(run.info.get(key) or 0) for run in frame.runs for key in ("train_seconds", "eval_seconds"))
    if not spent:
        return ""
    days = sorted(str(run.info[key])[:10] for run in frame.runs for key in ("started", "ended") if run.info.get(key))
    when = f", {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else ""
    busy = [run for run in frame.runs if float(run.info.get("contention") or 0) > CONTENDED]
    beside = (
        f". {len(busy) / len(frame.runs):.0%} of the runs shared their core with something else: times say little"
        if busy
        else ""
    )
    return f"How long: {_duration(spent)} of training and evaluation, summed over runs{when}{beside}"


def _duration(seconds: float) -> str:
    for length, name in UNITS:
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:.2g} {name}" if number < 9.9 else f"{number:,.0f} {name}"
    return f"{seconds:.0f} seconds"


def _mapping(run: RunRow, key: str) -> Mapping[str, Any]:
    found = run.info.get(key)
    return found if isinstance(found, dict) else {}
