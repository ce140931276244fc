"""Kondo and Iiduka, momentum SGD with learning-rate and batch-size schedules, arXiv 2508.03105.

Labels of the runs: `case` (i, ii, iii, iv) and `schedule` (constant, diminishing, cosine, linear, polynomial for
(i) and (ii); growth to a rate for (iii); warm-up to a rate, then constant or cosine, for (iv)). Axes: optimizer
(shb, nshb), seed. Runs with the label `tuning` choose each case's best schedule and are judged in nothing; those with
the label `part` (other optimizers, Tiny ImageNet, a sibling paper's SGD) have a table of their own and are in no claim.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchlab.results.compare.choice import judged
from batchlab.results.compare.claims import Claim, Judged, Side
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import CLOCKS, Metric, common_budget
from batchlab.results.compare.table import Table, build_table
from batchlab.results.compare.tuning import UNTUNED, tuned
from batchlab.results.papers import sgdm_siblings as siblings
from batchlab.results.papers.reproduction import Front, Reproduction
from batchlab.results.show.plot import Plot
from batchlab.results.words import listing

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
QUESTION = (
    "Does momentum SGD converge faster when the batch grows during training, and faster still when the learning rate "
    "grows with it? Four cases: (i) constant batch, decaying rate; (ii) growing batch, decaying rate; (iii) both grow; "
    "(iv) growing batch, rate warmed up."
)
FIGURE = "Least gradient norm so far: each case at its best schedule"
CAPTION = (
    "Least norm of the full gradient so far (lower is better), against epochs and against steps, each case at the "
    "schedule that was best on a seed of its own. Growing batches begin small: within the same epochs they take more "
    "steps."
)
NOTES = [
    "equal epochs is the paper's own reading; growing batches begin small, so at equal epochs they take more "
    "steps: equal steps and equal time say how much of a lead is those steps",
    "a value at a budget is the least so far, between two evaluations interpolated (its logarithm, linearly)",
    "each claim is judged by two norms: of the whole training set in eval mode, where BatchNorm makes a hardly trained "
    "net flat, so that the least can be one of the first evaluations; and as the paper's code takes it, in train mode. "
    "Where they disagree, that is a result",
    "pooled: over all schedules of a case that begin at the same learning rate ((iii) from 0.01 has no counterpart in "
    "(i) and (ii)); best: each case's best schedule, chosen by the norm it is judged by at the end of the tuning runs",
    "each claim is about both optimizers at once: the logarithm of a norm is averaged over them, seed by seed, and "
    "opposite effects cancel; where they go opposite ways, the claim says so, of which no test is made",
    "(iv) has no theorem: the paper evaluates it in experiments only; the paper's own tables are unknown",
]


def build(frame: Frame) -> Reproduction:
    """Tables, claims and plots of the four cases, and the sibling papers' numbers.

    Args:
        frame: Runs with the labels above, in any state.
    """
    everyone, besides, frame = _cases(frame), judged(frame), judged(_cases(frame))
    measured = [metric for metric, _ in NORMS if metric.name in frame.names]
    metrics = [*measured, Metric("test_accuracy"), Metric("train_loss")]
    metrics = [metric for metric in metrics if metric.name in frame.names]
    tables = [_table(frame, [metric], f"{metric.title}, whole runs (equal epochs)") for metric in metrics]
    if NORM in measured:
        at_budgets = [_within(frame, clock) for clock in ("steps", "seconds") if CLOCKS[clock] in frame.names]
        tables.insert(1, _table(frame, at_budgets, f"{NORM.label} at equal steps and at equal time"))
    others = besides.select(lambda run: run.value("part") != MISSING)
    if others.runs:
        title = "Beside the four cases, whole runs"
        known = [metric for metric in metrics if metric.name in others.names]
        tables.append(
            build_table(others, rows=["part", "model", "optimizer", "case", "schedule"], metrics=known, title=title)
        )
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
        [*_judged(frame, claims(), "pooled"), *_judged(*best(everyone), "best")],
        plots,
        siblings.published_sheets(frame, _as_published(frame)),
        [*NOTES, *_chosen(everyone)],
        front=partial(_front, everyone),
    )


def _front(everyone: Frame) -> Front:
    """Accuracy and norm of all that was trained beside a sibling paper's; the norms of each case's best schedule."""
    frame = judged(everyone)
    norm = _as_published(frame)
    chosen = best(everyone)[0].where(**{"chosen by": norm.name})
    named = [replace(run, labels=run.labels | {"case": CASES.get(run.value("case"), "")}) for run in chosen.runs]
    figure = Plot(replace(chosen, runs=named), norm, ("epochs", "steps"), "case", "optimizer", FIGURE)
    return Front(QUESTION, [siblings.ours(frame, norm)], figure if named and figure.drawable else None, CAPTION)


def _as_published(frame: Frame) -> Metric:
    """The norm that stands beside published ones: as the papers take it, where it was measured."""
    return PAPER_NORM if PAPER_NORM.name in frame.names else NORM


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


def _judged(frame: Frame, asked: list[Claim], group: str) -> list[Judged]:
    """The verdicts, and beside them where the optimizers that a claim is averaged over go opposite ways."""
    return [
        replace(item, reason="; ".join(filter(None, [item.reason, _opposite(frame, item)])))
        for item in judge(frame, asked, group)
    ]


def _opposite(frame: Frame, item: Judged) -> str:
    """Against which rivals one optimizer's norm is less, and another's more; by how much the tables say."""
    claim, rivals, optimizers = item.claim, [], frame.where(**item.claim.better.where).values("optimizer")
    metric = replace(claim.metric, budget=claim.at, limit=item.budget) if claim.at else claim.metric
    for rival in (comparison.rival for comparison in item.comparisons if comparison.test):
        ratios = []
        for own in ({"optimizer": optimizer} for optimizer in optimizers):
            ours, theirs = (replace(side, where=side.where | own) for side in (claim.better, rival))
            (alone,) = judge(frame, [replace(claim, better=ours, rivals=(theirs,), metric=metric, at=None)])
            ratios += [comparison.ours / comparison.theirs for comparison in alone.comparisons]
        if min(ratios) < 1 < max(ratios):
            rivals.append(rival.label)
    return f"{listing(optimizers)} go opposite ways against {listing(rivals)}" if rivals else ""


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


def _cases(frame: Frame) -> Frame:
    """The runs that the paper's claims are about."""
    return frame.select(lambda run: run.value("part") == MISSING)


def _table(frame: Frame, metrics: list[Metric], title: str) -> Table:
    return build_table(frame, rows=["case", "schedule"], cols=["optimizer"], metrics=metrics, title=title)


def _within(frame: Frame, clock: str) -> Metric:
    """The least norm within the budget of the clock that is common to every finished run."""
    return replace(NORM, budget=clock, limit=common_budget([frame], clock))
