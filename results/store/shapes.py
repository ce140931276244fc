"""What readers of a store's files rely on: of which kind known keys are. Keys that are not known may be anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from batchlab.results.axes import CHOICES
from batchlab.results.store.objects import Check

RUN_ID = re.compile(r"\w[\w.-]{0,200}", re.ASCII)
"""The name of a run's folder."""
SWEEP_NAME = re.compile(r"\w[\w.-]*")
NAME_BYTES = 200
"""A sweep's name is that of a file, of which systems take 255 bytes."""


def text(value: Any) -> bool:
    """A text."""
    return isinstance(value, str)


def whole(value: Any) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(value: Any) -> bool:
    """A number, NaN and infinities included."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def finite(value: Any) -> bool:
    """A number that is one."""
    return number(value) and math.isfinite(value)


def scalar(value: Any) -> bool:
    """What has no parts."""
    return value is None or isinstance(value, (str, bool, int, float))


def listed(check: Check) -> Check:
    """A list of such."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def mapped(check: Check) -> Check:
    """An object with such values."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def anything(value: Any) -> bool:
    """An object."""
    return isinstance(value, dict)


def has(kinds: Mapping[str, Check], *needed: str) -> Check:
    """An object whose keys are of these kinds, and that has those that are needed."""

    def check(value: Any) -> bool:
        if not isinstance(value, dict) or any(key not in value for key in needed):
            return False
        return all(kinds[key](item) for key, item in value.items() if key in kinds)

    return check


RUN = has(
    {
        **dict.fromkeys(("state", "reason", "changed", "started", "ended", "host", "git", "group", "apart"), text),
        **dict.fromkeys(("samples", "steps", "gradients", "train_seconds", "eval_seconds", "contention"), number),
        **dict.fromkeys(("pid", "largest_batch", "batchnorm_part", "micro_batch", "fused"), whole),
        "timeout": number,
        "out_of_memory": has(dict.fromkeys(("batch", "part", "half"), whole) | {"why": text}, "batch", "part"),
        "fingerprint": mapped(mapped(text)),
        "versions": mapped(text),
        "hardware": mapped(scalar),
        "user_git": mapped(text),
        "quantities": mapped(mapped(scalar)),
        "tuning": has(dict.fromkeys(("step_size", "optimum", "gap"), number)),
        "set_aside": mapped(text),
        "sealed": mapped(whole),
        "seconds": mapped(number),
        "commands": mapped(has(dict.fromkeys(("train_seconds", "eval_seconds"), number) | {"seconds": mapped(number)})),
        "profile": lambda value: isinstance(value, bool),
        "warnings": listed(text),
        "tuning_runs": listed(whole),
        "sources": listed(text),
    },
    "state",
)
"""run.json."""
PROGRESS = has({"samples": finite, "total": finite, "unit": text})
"""progress."""
ENTRY = has(
    {
        "run_id": lambda value: isinstance(value, str) and RUN_ID.fullmatch(value) is not None,
        "labels": mapped(scalar),
        "overrides": listed(text),
    },
    "run_id",
)
SWEEP = has(
    {
        **dict.fromkeys(("created", "kind"), text),
        **dict.fromkeys(("command", "notes"), listed(text)),
        "part": lambda value: isinstance(value, bool),
        "left_out": mapped(text),
        "runs": listed(ENTRY),
    },
    "created",
    "runs",
)
"""A sweep's manifest."""


def tree(value: Any) -> bool:
    """What a configuration is made of: objects with names for keys, lists, and what has no parts."""
    if isinstance(value, dict):
        return all(map(text, value)) and all(map(tree, value.values()))
    return all(map(tree, value)) if isinstance(value, list) else scalar(value)


CONFIG = has(
    {
        **dict.fromkeys(CHOICES, has({"name": scalar})),
        **dict.fromkeys(("train", "log", "measure", "callback", "executor"), anything),
        "seed": scalar,
        "nproc": scalar,
    }
)
"""A frozen configuration, which is a `tree`."""
