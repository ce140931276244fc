"""AdAdaGrad: batch sizes that grow when the gradient is too noisy, arXiv 2402.11215.

Labels of the runs: `experiment` (a model and its data), `test` (constant, stagewise, linear; norm, inner product,
augmented), `setting` (its sizes or tolerance) and `role`, its side in a claim: small and large are the constant
batches, ramp a baseline that grows by plan, loose and tight a test at two tolerances, published at the paper's. Axes:
optimizer, seed. Every run of an experiment has the same budget in samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchlab.results.compare.claims import Claim, Judged, Side, observed
from batchlab.results.compare.derived import known_by, numbers
from batchlab.results.compare.frame import MISSING, Frame, RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric, has_rows
from batchlab.results.compare.table import build_table
from batchlab.results.papers.literature import published, published_sheet
from batchlab.results.papers.reproduction import Front, Reproduction
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.table_sheet import bold_note, table_sheet
from batchlab.results.store.run import State
from batchlab.results.words import count, listing

REFERENCE = "AdAdaGrad (arXiv 2402.11215)"
TESTS = ("norm", "inner product", "augmented")
STRATUM = ("experiment", "optimizer")
TAIL = 0.2
MANY = 3
STEPS, ACCURACY = Metric("steps"), Metric("test_accuracy")
COLUMNS = (STEPS, Metric("average_batch"), Metric("train_loss"), ACCURACY, Metric("train_seconds"))
MEASURED = ("samples", "steps", "test_accuracy", "train_seconds")
NOISE = {"digits": 0.03}
OTHER_NOISE = 0.005
"""What "within noise" means, fixed before any run: about two standard errors of an accuracy of 92 % on the test set's
images, 355 of digits and 10,000 of the others."""
QUESTION = (
    "Can a test of the gradient's noise choose the batch size during training, so that it takes as few steps as a "
    "large batch and is as accurate as a small one?"
)
CAPTION = (
    "Batch size during training (the largest so far), by test and its tolerance, beside the constant batches and the "
    "growth by plan."
)
PUBLISHED_SAMPLES = {"mnist": 6_000_000}
OTHER_PUBLISHED_SAMPLES = 10_000_000


def build(frame: Frame) -> Reproduction:
    """The paper's columns, its claims, and how the batch grew.

    Args:
        frame: Runs with the labels above, in any state; their stream `steps` has the batch of every step.
    """
    steps = frame.stream("steps")
    outcomes = numbers(
        (run, {key: run.value(key) for key in (*STRATUM, "test", "setting", "role")}, values)
        for run, values in _outcomes(frame, steps)
    )
    margin = max((NOISE.get(run.value("dataset"), OTHER_NOISE) for run in frame.runs), default=OTHER_NOISE)
    return Reproduction(
        "adadagrad",
        "AdAdaGrad: batch sizes that grow with the gradient's noise",
        REFERENCE,
        [_table(outcomes), _settings(frame)],
        [*judge(outcomes, claims(outcomes, margin)), _identity(frame, steps)],
        [*_plots(frame, steps)],
        [_follow_up()],
        [*_notes(frame, margin), *steps.problems],
        front=partial(_front, outcomes, steps),
    )


def _front(outcomes: Frame, steps: Frame) -> Front:
    """The paper's columns, and how the batch grew in each experiment."""
    grown = _for_legends(steps, "experiment")
    look = (Metric("batch_size", "max"), ("samples",), "test,tolerance", "experiment")
    figure = Plot(grown, *look, "Batch size")
    table = _table(outcomes)
    table = replace(table, notes=[*table.notes, "no published number stands beside it: the paper's tables are unknown"])
    return Front(QUESTION, [table], figure if grown.runs and figure.drawable else None, CAPTION)


def claims(frame: Frame, margin: float) -> list[Claim]:
    """What the paper is about, made measurable. Its own tables are unknown to us, so each is a reconstruction.

    Args:
        frame: The runs that are planned, whatever became of them.
        margin: The noise of an accuracy, a fraction.
    """
    optimizers = dict.fromkeys(run.value("optimizer") for run in frame.runs)
    return [
        replace(claim, text=f"{optimizer}: {claim.text}" if len(optimizers) > 1 else claim.text)
        for optimizer in optimizers
        for claim in _claims(frame.where(optimizer=optimizer), {"optimizer": optimizer}, margin)
    ]


def _claims(frame: Frame, among: dict[str, Any], margin: float) -> Iterator[Claim]:
    small, large = (Side(role, among | {"role": role}) for role in ("small", "large"))
    sides = list(_adaptive(frame, among))
    for side in sides:
        yield _claim("fewer steps than constant small", side, small, STEPS, side.label)
    for side in sides:
        near = f"as accurate as constant small, to {100 * margin:g} points"
        yield replace(_claim(near, side, small, ACCURACY, side.label), margin=margin, within=True)
    for side in sides:
        yield _claim("more accurate than constant large", side, large, ACCURACY, side.label)
    loose = {side.where["test"]: side for side in sides if side.where["role"] == "loose"}
    pairs = [(side, loose[side.where["test"]]) for side in sides if side.where["role"] == "tight"]
    without = (Side("a smaller tolerance", among | {"role": "tight"}), Side("a larger one", among | {"role": "loose"}))
    for tight, looser in pairs or [without]:
        test = str(tight.where["test"]) if len(pairs) > 1 else ""
        yield _claim("smaller tolerance, faster growth: fewer steps", tight, looser, STEPS, test)


def _claim(text: str, ours: Side, rival: Side, metric: Metric, side: str) -> Claim:
    return Claim(text, "tables unknown", "reconstructed", ours, (rival,), metric, match=("experiment",), side=side)


def _adaptive(frame: Frame, among: dict[str, Any]) -> Iterator[Side]:
    """One side for each test and role, named by its tolerance where it has a single one."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for run in frame.runs:
        if run.value("test") in TESTS:
            found.setdefault((run.value("test"), run.value("role")), {})[_tolerance(run)] = None
    for (test, role), tolerances in found.items():
        name = f"{test} {next(iter(tolerances)) if len(tolerances) == 1 else f'({role})'}"
        yield Side(name, among | {"test": test, "role": role})


def _tolerance(run: RunRow) -> str:
    """The first number of a test's setting (eta, or theta, to which nu is in proportion); a baseline's sizes."""
    setting = str(run.value("setting"))
    number = re.search(r"\d[\d.]*", setting) if run.value("test") in TESTS else None
    return number[0] if number else setting


def _outcomes(frame: Frame, steps: Frame) -> Iterator[tuple[RunRow, Mapping[str, float]]]:
    """Each run's row of the table; empty where nothing was recorded."""
    measured = [name for name in MEASURED if name in frame.names]
    columns: dict[str, NDArray[np.float64]] = {name: frame.column(name)[0] for name in measured}
    for run, detailed in zip(frame.runs, steps.runs, strict=True):
        values = {name: float(column[run.rows][-1]) for name, column in columns.items()} if has_rows(run) else {}
        if not values.get("steps"):  # cut off before its first step, it has only the row of its start
            yield run, {}
            continue
        values["average_batch"] = values["samples"] / values["steps"]
        source, rows = (steps, detailed.rows) if has_rows(detailed) else (frame, run.rows)
        values["train_loss"] = tail_loss(*(source.column(name)[0][rows] for name in ("samples", "train_loss")))
        yield run, values


def tail_loss(samples: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Mean training loss over the last fifth of the samples.

    Args:
        samples: Samples seen at each row, ascending, (rows,).
        losses: Mean loss over the samples since the row before, (rows,). A row counts where it ends within the last
            fifth.
    """
    spent = np.diff(samples, prepend=0.0)
    last = samples > (1 - TAIL) * samples[-1]
    return float(np.average(losses[last], weights=spent[last]))


def _table(outcomes: Frame) -> Sheet:
    """One block for each experiment and optimizer, in which the best is told; one line per method, so no intervals."""
    axes = (*STRATUM, "test", "setting")
    blocks = dict.fromkeys(tuple(map(run.value, STRATUM)) for run in outcomes.runs)
    metrics = [metric for metric in COLUMNS if metric.name in outcomes.names]
    tables = [
        build_table(outcomes.where(**dict(zip(STRATUM, block, strict=True))), rows=axes, metrics=metrics)
        for block in blocks
    ]
    sheets = [table_sheet(table) for table in tables]
    title = "Equal samples: steps, average batch, training loss, test accuracy and time"
    if not sheets:
        return Sheet(title, [], [])
    bold = bold_note(cell for table in tables for cell in table.cells.values())  # once, with the counts of all blocks
    alone = {bold_note(table.cells.values()) for table in tables}
    notes = dict.fromkeys(bold if note in alone else note for sheet in sheets for note in sheet.notes)
    within = "best of its column for the same experiment and optimizer"
    return Sheet(
        title,
        sheets[0].columns,
        [[_brief(cell) for cell in row] for sheet in sheets for row in sheet.rows],
        [note.replace("best of its column", within).replace("; brackets: 95 % t interval", "") for note in notes],
        [record for sheet in sheets for record in sheet.records],
    )


def _brief(cell: Text) -> Text:
    return replace(cell, detail=re.sub(r"^\[[^\]]*\] *", "", cell.detail))


def _identity(frame: Frame, steps: Frame) -> Judged:
    """samples = steps x average batch, counted: the rows of `steps` against the run's own totals."""
    claim = Claim(
        "samples = steps × average batch", "arithmetic", "ours", Side("steps × average batch", {}),
        (Side("samples", {}),), Metric("samples"), "method",
    )  # fmt: skip
    counted = [
        (run, detailed)
        for run, detailed in zip(frame.runs, steps.runs, strict=True)
        if run.state is State.DONE and has_rows(run) and has_rows(detailed)
    ]
    if not counted:
        return observed(claim, None, "no run that is done recorded its steps (log.steps=true)")
    sizes, (samples, taken) = steps.column("batch_size")[0], (frame.column(n)[0] for n in ("samples", "steps"))
    exact = [
        sizes[detailed.rows].sum() == samples[run.rows][-1] and len(sizes[detailed.rows]) == taken[run.rows][-1]
        for run, detailed in counted
    ]
    said = f"to the sample in {sum(exact):,} of {count(len(exact), 'run')}, from the batch of every step"
    return observed(claim, all(exact), said)


def _settings(frame: Frame) -> Sheet:
    """What the authors' scripts set, and what these runs set."""
    names = ("whose", "experiment", "optimizer", "lr", "first batch", "largest batch", "samples", "adaptive by")
    columns = [Column((name,), "right" if name in names[3:7] else "left") for name in names]
    # what only some set stands beneath the experiment: it has no column of its own that is empty for the others
    rows = [
        [Text(whose), Text(experiment, detail=more), *map(Text, cells)]
        for whose, experiment, *cells, more in (*_scripts(), *_ours(frame))
    ]
    notes = [
        "read in the authors' scripts and README; the paper's result tables are unknown to us",
        "the README and the script disagree on the CNN of MNIST: batch 16 and lr 0.5, batch 8 and lr 0.008; at scale "
        "paper each is an experiment of its own",
        "ImageNet is not run here: batchlab keeps a data set in memory",
    ]
    return Sheet("Settings: the authors' scripts, and these runs", columns, rows, notes)


def _scripts() -> Iterator[list[str]]:
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    optimizer: dict[tuple[str, str, str], str] = {}
    for row in published("adadagrad"):
        if row.table_or_figure in ("authors' scripts", "authors' README"):
            key = row.table_or_figure.removeprefix("authors' "), row.model, row.dataset
            found.setdefault(key, {})[row.metric] = row.value
            optimizer[key] = row.method
    before = ""
    for key, values in found.items():
        tests = [f"norm eta {values['eta']:g}"]
        tests += [f"augmented theta {values['theta']:g}, nu {values['nu']:g}"] if "theta" in values else []
        sizes = [f"{values[name]:,.0f}" for name in ("initial_batch_size", "maximum_batch_size", "samples")]
        whose, before = "" if key[0] == before else key[0], key[0]
        yield [
            whose,
            f"{key[1]} ({key[2]})",
            optimizer[key],
            f"{values['lr']:g}",
            *sizes,
            "; ".join(tests),
            _also(values),
        ]


def _also(values: Mapping[str, float]) -> str:
    """How the learning rate falls, and the weight decay, where the scripts have either."""
    said = []
    if "warmup_samples" in values:
        said.append(
            f"warm-up {values['warmup_samples']:,.0f}, then cosine to lr {values['minimum_lr']:g} at sample "
            f"{values['decay_samples']:,.0f}"
        )
    if "weight_decay" in values:
        said.append(f"weight decay {values['weight_decay']:g}")
    return "; ".join(said)


def _ours(frame: Frame) -> Iterator[list[str]]:
    adaptive = frame.select(lambda run: run.value("test") in TESTS and bool(run.config))
    blocks: dict[tuple[Any, ...], list[RunRow]] = {}
    for run in adaptive.runs:
        blocks.setdefault(tuple(map(run.value, STRATUM)), []).append(run)
    for i, ((experiment, optimizer), runs) in enumerate(blocks.items()):
        first, maximum = runs[0], runs[0].value("batch_schedule.maximum")
        tests: dict[str, dict[str, None]] = {}
        for run in runs:
            tests.setdefault(run.value("test"), {})[str(run.value("setting"))] = None
        known = [f"{test} {next(iter(found))}" if len(found) == 1 else test for test, found in tests.items()]
        yield [
            "" if i else "these runs",
            f"{experiment} ({first.value('dataset')})",
            optimizer,
            f"{first.value('optimizer.lr'):g}",
            f"{first.value('batch_schedule.initial'):,}",
            "training set" if maximum is None else f"{maximum:,}",
            f"{first.value('train.samples'):,}",
            "; ".join(known),
            ""
            if first.value("lr_schedule") in (MISSING, "constant")
            else f"{first.value('lr_schedule')} learning rate",
        ]


def _plots(frame: Frame, steps: Frame) -> Iterator[Plot]:
    """Batch size against samples; training loss where a run was evaluated often enough to draw a line."""
    look = ("test,tolerance", "optimizer")
    for experiment in dict.fromkeys(run.value("experiment") for run in frame.runs):
        grown = _for_legends(steps.where(experiment=experiment))
        yield Plot(grown, Metric("batch_size", "max"), ("samples",), *look, f"Batch size, {experiment}")
        often = frame.where(experiment=experiment).select(lambda run: run.rows.stop - run.rows.start > MANY)
        if often.runs:
            clocks = ("samples", "steps", "seconds")
            yield Plot(_for_legends(often), Metric("train_loss"), clocks, *look, f"Training loss, {experiment}")


def _for_legends(frame: Frame, *keys: str) -> Frame:
    """The tests first, each known by its tolerance, so that a line's dash means the same for all of them."""

    def labels(run: RunRow) -> dict[str, Any]:
        known = {key: run.value(key) for key in ("optimizer", "test", *keys)}
        return known | {"tolerance": _tolerance(run)}

    runs = sorted(frame.runs, key=lambda run: run.value("test") not in TESTS)
    return known_by(replace(frame, runs=runs, ordered=True), labels)


def _follow_up() -> Sheet:
    rows = [row for row in published("adadagrad") if row.paper == "arXiv 2412.21124"]
    note = "none of ours has a counterpart here: the follow-up trains a language model of 300 million parameters"
    return published_sheet("Published numbers of the follow-up, DDP-Norm (arXiv 2412.21124)", rows, [note])


def _notes(frame: Frame, margin: float) -> list[str]:
    notes = [
        "claims are averaged over the experiments of an optimizer, one difference per seed; the table shows each",
        "the paper's result tables are unknown to us: its claims are reconstructed from what it is about",
        f"accuracies are the same to {100 * margin:g} points: about two standard errors of an accuracy of 92 % on the "
        "test set, fixed before any run",
        f"train loss: mean over the last {TAIL:.0%} of the samples, each batch before its step; seconds: training, "
        "tests included, without evaluations",
        "one learning rate for all batch sizes, as in the authors' scripts: a constant large batch with a rate of its "
        "own would be a stronger rival",
    ]
    if any(_smaller(run) for run in frame.runs):
        notes.append(
            "smaller budgets than published, and first and largest batches to suit them: ours, not the paper's"
        )
    if any(run.value("optimizer") == "adagrad_norm" for run in frame.runs):
        notes.append(
            "AdaGrad-Norm's learning rate is unknown; ours was best in a sweep of the constant small batch alone"
        )
    cut: dict[int, int] = {}
    for run in frame.runs:
        size, groups = run.value("batch_schedule.size"), run.value("train.groups")
        small = run.value("role") == "small" and run.value("model.norm") == "batch"
        if small and MISSING not in (size, groups) and groups > 1:
            cut[size] = -(-size // min(groups, size))
    if cut:
        seen = listing([f"{part:,} of {size:,}" for size, part in sorted(cut.items())])
        notes.append(
            f"in groups, as the adaptive runs need them, BatchNorm sees {seen} samples of a constant small batch at a "
            "time, for the whole run: that handicaps this rival, and the fewer they are the more; adaptive runs grow "
            "out of it"
        )
    return notes


def _smaller(run: RunRow) -> bool:
    samples = run.value("train.samples")
    return samples != MISSING and int(samples) < PUBLISHED_SAMPLES.get(run.value("dataset"), OTHER_PUBLISHED_SAMPLES)
