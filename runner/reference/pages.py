"""The reference pages of axes and configuration, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from batchlab.results.axes import CHOICES, NEUTRAL, RECORDING
from batchlab.runner.line.offered import PACKAGED
from batchlab.runner.plan.split import KEYS
from batchlab.runner.reference.choices import Choice, Key, choices, documented, kind, read, resolved, shown

MARK = "<!-- written by `make reference`: change the code, not this page -->\n"
SPLIT = {
    "subset": "train on so many samples of the training split, the same for every seed; null: all",
    "test_subset": "measure on so many samples of the test split; null: all",
    "validation": "share of the training split that is set apart to choose by",
    "split_seed": "sets other samples apart",
}
"""What the keys mean that any data set takes."""
TOP = {
    "seed": "initialisation, order of the data, augmentation",
    "nproc": "ranks (processes) of a run; a global batch is split over them exactly",
}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(heads), " | ".join("---" for _ in heads), *(" | ".join(row) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


def cell(text: str) -> str:
    """Text within a cell, with the pages that it names as links and formulas as they are read here."""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r"(?<!`)\bdocs/([\w-]+)\.md", r"[\1](../\1.md)", text)
    parts = re.split(r"(`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\))", text)
    return "".join(
        p if i % 2 else re.sub(r"([*<\[\]^~]|(?<!\w)_|_(?!\w))", r"\\\1", p) for i, p in enumerate(parts)
    ).replace("|", "\\|")


def keys(block: str, found: Sequence[Key]) -> str:
    """The table of a block's keys."""
    rows = [(f"`{block}{key.name}`", key.kind, code(key.default), cell(key.meaning)) for key in found]
    return table(("key", "type", "default", "what it means"), rows) if rows else "It has no keys.\n"


def code(text: str) -> str:
    """A default as code."""
    return f"`{text}`".replace("|", "\\|") if text != "required" else "required"


def section(choice: Choice, block: str) -> str:
    """A choice: what it is, what is built, its keys."""
    said = [f"## {choice.name}\n", f"{cell(choice.said)}\n"]
    first = documented(choice.target)
    if choice.target:
        said.append(f"`{choice.target}`{f': {cell(first)}' if first else ''}\n")
    return "\n".join([*said, keys(block, choice.keys)])


def axis(title: str, introduction: str, found: Sequence[Choice], block: str) -> str:
    """The page of an axis, or of a part of one."""
    listed = ", ".join(f"[`{choice.name}`](#{choice.name})" for choice in found)
    head = [f"# {title}\n", MARK, f"{introduction}\n", f"{listed}.\n" if len(found) > 1 else ""]
    return "\n".join([*filter(None, head), *(section(choice, block) for choice in found)])


def optimizers() -> dict[str, list[Choice]]:
    """The optimizers by how they are driven: which page each is on."""
    from batchlab.optimizers.needs import Closure, FiniteSum, Moments

    pages: dict[str, list[Choice]] = {
        "optimizers": [],
        "optimizers-noise": [],
        "optimizers-integrators": [],
        "solvers": [],
    }
    for choice in choices("optimizer"):
        needs = _needs(choice.target)
        if isinstance(needs, FiniteSum):
            pages["solvers"].append(choice)
        elif isinstance(needs, Closure) or ".integrators." in getattr(resolved(choice.target), "__module__", ""):
            pages["optimizers-integrators"].append(choice)
        elif isinstance(needs, Moments) or choice.name.startswith("vr_"):
            pages["optimizers-noise"].append(choice)
        else:
            pages["optimizers"].append(choice)
    return pages


def _needs(target: str) -> Any:
    """What a class of ours declares to need, without making one; None of anybody else's."""
    return getattr(resolved(target), "needs", None)


OPTIMIZERS = {
    "optimizers": ("Optimizers", "`optimizer=NAME`: those that take one gradient a step. {more}"),
    "optimizers-noise": (
        "Optimizers that are given the gradient's noise",
        "`optimizer=NAME`: steps that depend on how the gradients of a batch's parts scatter ([VRGD](../vrgd.md)).",
    ),
    "optimizers-integrators": (
        "Integrators",
        "`optimizer=NAME`: steps of several gradients, or of several past ones ([integrators](../integrators.md)).",
    ),
    "solvers": (
        "Finite-sum solvers",
        "`optimizer=NAME`: for convex problems to high precision, with `model=logistic` or `model=linear` "
        "([finite sums](../finite-sum.md)).",
    ),
}
MORE = (
    "Others are on pages of their own: [given the gradient's noise](optimizers-noise.md), "
    "[integrators](optimizers-integrators.md), [finite-sum solvers](solvers.md)."
)
AXES = {
    "lr_schedule": (
        "Learning-rate schedules",
        "`lr_schedule=NAME`: a multiple of `optimizer.lr` as a function of the clock. [Your own](../own-schedules.md) "
        "is a YAML file.",
    ),
    "batch_schedule": (
        "Batch schedules",
        "`batch_schedule=NAME`: how many samples a step takes, over all ranks. [Your own](../own-schedules.md).",
    ),
    "model": ("Models", "`model=NAME`. [Your own](../own.md#a-model) is any `nn.Module`."),
    "dataset": ("Data sets", "`dataset=NAME`. [Your own](../own-data.md) are read where they are."),
    "measure": (
        "Measures",
        "`+measure=NAME` adds one, `~measure=NAME` leaves one out. [What each records and when](../measures.md).",
    ),
    "callback": (
        "Callbacks",
        "`+callback=NAME`: who watches a run and changes no number ([callbacks](../callbacks.md)).",
    ),
    "executor": ("Engines", "`executor=NAME`: where runs are trained ([engines](../engines.md))."),
    "experiment": (
        "Experiments",
        "`experiment=NAME`: several overrides under one name ([grids](../grids.md#experiments-notes-folders)).",
    ),
}
SEVERAL = ("measure", "callback")


def configuration() -> str:
    """The page of what every run has."""
    config = PACKAGED / "config.yaml"
    top = [Key(name, "whole number", shown(1 if name == "nproc" else 0), said) for name, said in TOP.items()]
    split = [
        Key(name, kind(f"dataset.{name}", KEYS[name], "int | None"), shown(KEYS[name]), SPLIT[name]) for name in KEYS
    ]
    said = [
        "# Every run's configuration\n",
        MARK,
        "A run is a choice on every axis and these keys; `batchlab show` prints one composed. Each key can be "
        "overridden (`train.epochs=5`), and in a sweep have several values ([grids](../grids.md)).\n",
        f"Axes: {', '.join(f'[`{name}`]({PLACES[name]}.md)' for name in PLACES)}.\n",
        keys("", top),
        "## train\n",
        keys("train.", read(config, "train").keys),
        "## log\n",
        keys("log.", read(config, "log").keys),
        "## Of any data set\n",
        keys("dataset.", split),
        "## What is part of a run's identity\n",
        f"Everything but {', '.join(f'`{key}`' for key in NEUTRAL)}, with all below them: these cannot change a "
        f"number. Runs that differ only below {' or '.join(f'`{key}`' for key in RECORDING)} are repeats of each other "
        "([identity](../identity.md)). A key of your own, `+note=second`, is recorded and means nothing to the "
        "training.\n",
    ]
    return "\n".join(said)


PLACES = {name: f"{name.replace('_', '-')}s" for name in (*CHOICES, "measure", "callback", "executor", "experiment")}


def axes() -> dict[str, str]:
    """File name -> text of every page of an axis, and of the configuration."""
    pages = {"configuration": configuration()}
    for name, found in optimizers().items():
        title, said = OPTIMIZERS[name]
        pages[name] = axis(title, said.format(more=MORE), found, "optimizer.")
    for group, (title, said) in AXES.items():
        block = f"{group}.NAME." if group in SEVERAL else "" if group == "experiment" else f"{group}."
        pages[PLACES[group]] = axis(title, said, choices(group), block)
    return pages
