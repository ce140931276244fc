"""Kondo and Iiduka, momentum SGD with learning-rate and batch-size schedules, arXiv 2508.03105.

Labels of the runs: `case` (i, ii, iii, iv) and `schedule` (constant, diminishing, cosine, linear, polynomial for
(i) and (ii); growth to a rate for (iii); warm-up to a rate, then constant or cosine, for (iv)). Axes: optimizer
(shb, nshb), seed. Runs with the label `tuning` choose each case's best schedule and are judged in nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

from batchlab.results.compare.choice import judged
from batchlab.results.compare.claims import Claim, Side
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget
from batchlab.results.compare.stats import summarize
from batchlab.results.compare.table import Table, build_table
from batchlab.results.compare.tuning import UNTUNED, tuned
from batchlab.results.papers.literature import published, published_sheet
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number, uncertain
from batchlab.results.store.run import State

REFERENCE = "Kondo, Iiduka (arXiv 2508.03105)"
NORM = Metric("full_gradient_norm", "min")
PAPER_NORM = Metric("full_gradient_norm_paper", "min")
NORMS = ((NORM, "norm in eval mode"), (PAPER_NORM, "norm as the paper takes it, in train mode"))
READINGS = ("epochs", "steps", "seconds")
CELL = ("case", "optimizer", "optimizer.lr")
"""What has a best schedule of its own: the same optimizer from the same learning rate."""
CASES = {
    "i": "(i) constant batch, decaying lr",
    "ii": "(ii) growing batch, decaying lr",
    "iii": "(iii) growing batch, growing lr",
    "iv": "(iv) growing batch, warm-up lr",
}
NOTES = [
    "equal epochs is the paper's own reading; growing batches begin small, so at equal epochs they take more "
    "steps: equal steps and equal time say how much of a lead is those steps",
    "a value at a budget is the least so far, between two evaluations interpolated (its logarithm, linearly)",
    "each claim is judged by two norms: of the whole training set in eval mode, where BatchNorm makes a hardly trained "
    "net flat, so that the least can be one of the first evaluations; and as the paper's code takes it, in train mode. "
    "Where they disagree, that is a result",
    "pooled: over all schedules of a case that begin at the same learning rate ((iii) from 0.01 has no counterpart in "
    "(i) and (ii)); best: each case's best schedule, chosen by the norm it is judged by at the end of the tuning runs",
    "(iv) has no theorem: the paper evaluates it in experiments only; the paper's own tables are unknown",
]


def build(frame: Frame) -> Reproduction:
    """Tables, claims and plots of the four cases, and the sibling papers' numbers.

    Args:
        frame: Runs with the labels above, in any state.
    """
    everyone, frame = frame, judged(frame)
    measured = [metric for metric, _ in NORMS if metric.name in frame.names]
    metrics = [*measured, Metric("test_accuracy"), Metric("train_loss")]
    metrics = [metric for metric in metrics if metric.name in frame.names]
    tables = [_table(frame, [metric], f"{metric.title}, whole runs (equal epochs)") for metric in metrics]
    if NORM in measured:
        at_budgets = [_within(frame, clock) for clock in ("steps", "seconds") if CLOCKS[clock] in frame.names]
        tables.insert(1, _table(frame, at_budgets, f"{NORM.label} at equal steps and at equal time"))
    plots = [
        Plot(frame, metric, READINGS, "case,schedule", "optimizer", title)
        for metric, title in (
            (NORM, "Running minimum of the full gradient norm, by case and schedule"),
            (Metric("test_accuracy"), "Test accuracy, by case and schedule"),
        )
        if metric.name in frame.names
    ]
    return Reproduction(
        "sgdm_schedules",
        "Momentum SGD with learning-rate and batch-size schedules",
        REFERENCE,
        tables,
        [*judge(frame, claims(), "pooled"), *judge(*best(everyone), "best")],
        plots,
        [_beside(frame), _kamo()],
        [*NOTES, *_chosen(everyone)],
    )


def claims() -> list[Claim]:
    """The paper's claims in both norms, each at equal epochs, equal steps and equal time, pooled over schedules."""
    sides = {case: Side(f"({case})", {"case": case}) for case in CASES}
    said = (
        ("(ii) converges where (i) need not: (ii) beats (i)", "abstract", "ii", ("i",), ("optimizer", "schedule")),
        ("(iii) is provably faster than (i) and (ii)", "abstract", "iii", ("i", "ii"), ("optimizer", "optimizer.lr")),
        (
            "(iv) beats all others",
            "abstract, experiments only",
            "iv",
            ("i", "ii", "iii"),
            ("optimizer", "optimizer.lr"),
        ),
    )
    return [
        Claim(f"{text}: {by}", source, "read", sides[case], tuple(sides[rival] for rival in rivals), norm, clock, match)
        for text, source, case, rivals, match in said
        for norm, by in NORMS
        for clock in READINGS
    ]


def best(frame: Frame) -> tuple[Frame, list[Claim]]:
    """The same claims on each case's best schedule, which the tuning runs choose by the norm that is judged.

    Args:
        frame: All runs.

    Returns:
        The judged runs at the chosen schedules, once for each norm, labelled `chosen by`; and the claims about them.
    """
    runs = [
        replace(run, labels=run.labels | {"chosen by": norm.name})
        for norm, _ in NORMS
        for run in tuned(frame, norm, "schedule", CELL).frame.runs
    ]
    sides = {case: {"case": case} for case in CASES}
    asked = []
    for claim in claims():
        own = {"chosen by": claim.metric.name}
        named = {case: Side(f"best of ({case})", where | own) for case, where in sides.items()}
        better, *rivals = (named[str(side.where["case"])] for side in (claim.better, *claim.rivals))
        text = f"{claim.text}, best against best"
        asked.append(replace(claim, text=text, better=better, rivals=tuple(rivals), match=CELL[1:]))
    return replace(frame, runs=runs), asked


def _chosen(frame: Frame) -> list[str]:
    """Which schedules the claims on the best ones are about."""
    notes = []
    for norm, by in NORMS:
        chosen = tuned(frame, norm, "schedule", CELL).chosen
        said = "; ".join(f"({case}) {optimizer} from {lr}: {best}" for (case, optimizer, lr), best in chosen.items())
        notes += [f"best by the {by}: {said}"] if said else []
    return notes or [UNTUNED]


def _table(frame: Frame, metrics: list[Metric], title: str) -> Table:
    return build_table(frame, rows=["case", "schedule"], cols=["optimizer"], metrics=metrics, title=title)


def _within(frame: Frame, clock: str) -> Metric:
    """The least norm within the budget of the clock that is common to every finished run."""
    return replace(NORM, budget=clock, limit=common_budget([frame], clock))


def _beside(frame: Frame) -> Sheet:
    """The sibling paper's numbers (SGD without momentum) and ours, one line per case and schedule."""
    theirs: dict[tuple[str, str, str], float] = {}
    numbers = [row for row in published("sgdm_schedules") if row.paper.startswith("Umeda")]
    for row in numbers:
        theirs[row.method.strip("()"), row.setting, row.metric] = row.value
    metrics = [NORM, Metric("test_accuracy")]
    optimizers = frame.values("optimizer") if frame.runs else []
    columns = [Column(("case",)), Column(("schedule",))]
    columns += [Column(("Umeda, Iiduka: SGD", metric.title), "right") for metric in metrics]
    columns += [Column((f"ours: {name}", metric.title), "right") for name in optimizers for metric in metrics]
    rows = []
    for case, schedule in dict.fromkeys((case, schedule) for case, schedule, _ in theirs):
        cells = [Text(f"{theirs[case, schedule, str(metric)]:.10g}") for metric in metrics]
        part = frame.where(case=case, schedule=schedule)
        cells += [_ours(part.where(optimizer=name), metric) for name in optimizers for metric in metrics]
        rows.append([Text(f"({case})"), Text(schedule), *cells])
    notes = [
        "published: a sibling paper with the same schedules (CIFAR-100, ResNet-18, 300 epochs), digitised off its "
        "figures. None is from arXiv 2508.03105 itself",
        "compare orderings, not values, unless ours ran at the published scale",
    ]
    records = published_sheet("", numbers).records
    return Sheet("Published numbers of a sibling paper beside ours", columns, rows, notes, records)


def _kamo() -> Sheet:
    rows = [row for row in published("sgdm_schedules") if row.paper.startswith("Kamo")]
    note = "a sibling paper's numbers (CIFAR-100, ResNet-18); none is from arXiv 2508.03105 itself"
    return published_sheet("Published numbers of a sibling paper: Kamo, Iiduka", rows, [note])


def _ours(part: Frame, metric: Metric) -> Text:
    """Mean ± std over the seeds of the runs that are done; how many are not."""
    done = part.select(lambda run: run.state is State.DONE)
    lost = len(part.runs) - len(done.runs)
    detail = f"† {lost} not done" if lost else ""
    if not done.runs or metric.name not in part.names:
        return Text("–", detail=detail, tone="dim")
    values = metric.measure(done).values
    summary = summarize([value for value in values if math.isfinite(value)])
    if not summary.n:
        return Text("–", detail=detail, tone="dim")
    mean, std = summary.mean * metric.quantity.scale, summary.std * metric.quantity.scale
    text = uncertain(mean, std) if summary.n > 1 else number(mean, decimals(math.nan, mean))
    return Text(text, detail=detail)
