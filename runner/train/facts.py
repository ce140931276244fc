"""What a reader of a run must know about where it ran: versions, hardware, the code's commit, counts and times."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from batchlab.optimizers.clock import Clock
from batchlab.results.store.run import COMMANDS, SECONDS
from batchlab.runner.train.rank import Context, Meters, rounded

PACKAGES = ("batchlab", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "numba")


def facts(clock: Clock, meters: Meters, context: Context, flops: float | None = None) -> dict[str, Any]:
    """Entries of run.json at the end of a run.

    Args:
        clock: of the run.
        meters: of this rank.
        context: of this rank.
        flops: that training takes for a sample; None: not counted.
    """
    return {
        "samples": clock.samples,
        "steps": clock.steps,
        "gradients": meters.gradients,
        "flops_per_sample": flops,
        "largest_batch": meters.largest_batch or None,
        "batchnorm_part": meters.batchnorm_part or None,
        "train_seconds": round(meters.train_seconds, 3),
        "eval_seconds": round(meters.eval_seconds, 3),
        SECONDS: rounded(meters.spent) or None,
        COMMANDS: meters.earlier | {meters.command: {}} if meters.command else None,
        "fused": meters.fused or None,
        "contention": contention(meters, context),
        "versions": versions(),
        "hardware": hardware(context.device, context.world_size),
        "git": commit(),
    }


def contention(meters: Meters, context: Context) -> float | None:
    """How much longer training took than the processor worked for it: `batchlab.results.axes.CONTENDED` is too much.

    None on a GPU, which works while the processor waits, and on several ranks, which wait for each other.
    """
    if context.device.type != "cpu" or context.world_size > 1 or meters.contention is None:
        return None
    return round(meters.contention, 3)


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[package] = "not installed"
    return found


def hardware(device: torch.device, ranks: int) -> dict[str, Any]:
    """The machine as far as it decides speed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"device": name, "ranks": ranks, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@cache
def commit() -> str | None:
    """The checkout's commit, with a + when files differ from it; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip()
