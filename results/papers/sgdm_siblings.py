"""Numbers of the papers beside arXiv 2508.03105, by its authors, and ours: its own tables are unknown to us.

Umeda and Iiduka have the same four cases and schedules, with SGD without momentum; Kamo and Iiduka have NSHB and SHB,
with a constant rate.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchlab.results.compare.frame import Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.papers.beside import Ours, notes_beside, other_scale, ours_of, setting
from batchlab.results.papers.literature import Published, published, published_sheet
from batchlab.results.show.sheet import Column, Sheet, Text

DATA = "cifar100"
"""The data set of the published numbers."""
ACCURACY = Metric("test_accuracy")
THEIR_NORM = "least full gradient norm"
NORMED = "min:full_gradient_norm"
"""How their norm is called among published numbers; they take it as the paper does, in train mode."""
ALIKE = {"batch 128": "i", "x2 every 20 epochs from 8": "ii"}
"""Settings of Kamo and Iiduka, at a constant rate of 0.1, and the case whose constant schedule is the same."""
ELSEWHERE = "none of ours beside it: these runs are of another data set"
WHOSE = (
    "published: a sibling paper with the same schedules (CIFAR-100, ResNet-18, 300 epochs), digitised off its figures. "
    "None is from arXiv 2508.03105 itself"
)


def published_sheets(frame: Frame, norm: Metric) -> list[Sheet]:
    """All siblings' numbers, with ours where ours ran on their data.

    Args:
        frame: The judged runs, in any state.
        norm: The norm that is set beside theirs.
    """
    return [_umeda(frame, norm), _kamo(frame, norm), *_alone()]


def ours(frame: Frame, norm: Metric) -> Sheet:
    """Accuracy and norm of what was trained, one line per case and schedule, and the sibling's where it has the same.

    Args:
        frame: The judged runs, in any state.
        norm: Which norm.
    """
    rows = list(dict.fromkeys((run.value("case"), run.value("schedule")) for run in frame.runs))
    notes = ["ours: mean ± standard deviation over seeds, whole runs (equal epochs); ×÷: geometric, of the norm"]
    theirs: dict[tuple[str, str, str], float] = {}
    if frame.where(dataset=DATA).runs:
        theirs = _theirs()
        notes += [WHOSE, _orderings(frame)]
    else:
        notes.append("no published number stands beside it: these runs are of another data set")
    return _sheet("Test accuracy and gradient norm, ours and published", rows, frame, norm, theirs, notes)


def _umeda(frame: Frame, norm: Metric) -> Sheet:
    """The sibling paper's numbers (SGD without momentum) and ours on its data, one line per case and schedule."""
    theirs, frame = _theirs(), frame.where(dataset=DATA)
    rows = list(dict.fromkeys((case, schedule) for case, schedule, _ in theirs))
    title = "Published numbers of a sibling paper" + (" beside ours" if frame.runs else "")
    return _sheet(title, rows, frame, norm, theirs, [WHOSE, _orderings(frame) if frame.runs else ELSEWHERE])


def _orderings(frame: Frame) -> str:
    return (
        "compare orderings, not values: its optimizer is SGD without momentum, and ours ran "
        f"{setting(frame)}. No difference in units of spread is given for that"
    )


def _numbers(author: str) -> list[Published]:
    return [row for row in published("sgdm_schedules") if row.paper.startswith(author)]


def _theirs() -> dict[tuple[str, str, str], float]:
    """(case, schedule, metric) -> the number of Umeda and Iiduka."""
    return {(row.method.strip("()"), row.setting, row.metric): row.value for row in _numbers("Umeda")}


def _sheet(
    title: str,
    places: Sequence[tuple[str, str]],
    frame: Frame,
    norm: Metric,
    theirs: dict[tuple[str, str, str], float],
    notes: list[str],
) -> Sheet:
    optimizers = frame.values("optimizer") if frame.runs else []
    metrics = {norm.of(frame): NORMED, ACCURACY: str(ACCURACY)}
    columns = [Column(("case",)), Column(("schedule",))]
    if theirs:
        columns += [Column(("Umeda, Iiduka: SGD", title), "right") for title in (THEIR_NORM, ACCURACY.title)]
    columns += [Column((f"ours: {name}", metric.title), "right") for name in optimizers for metric in metrics]
    rows = []
    for case, schedule in places:
        found = [theirs.get((case, schedule, name)) for name in metrics.values()] if theirs else []
        cells = [Text("" if number is None else f"{number:.10g}") for number in found]
        part = frame.where(case=case, schedule=schedule)
        cells += [_ours(part.where(optimizer=name), metric) for name in optimizers for metric in metrics]
        rows.append([Text(f"({case})"), Text(schedule), *cells])
    return Sheet(title, columns, rows, notes, published_sheet("", _numbers("Umeda")).records)


def _kamo(frame: Frame, norm: Metric) -> Sheet:
    """Another sibling paper's numbers, with ours beneath where optimizer, schedule and data are the same."""
    rows = [row for row in _numbers("Kamo") if row.certainty == "digitised"]
    frame = frame.where(dataset=DATA)

    def ours(row: Published) -> Ours | None:
        alike = ALIKE.get(row.setting)
        metric = {str(ACCURACY): ACCURACY, NORMED: norm}.get(row.metric)
        if alike is None or metric is None or row.dataset != "CIFAR-100":
            return None
        return ours_of(frame.where(case=alike, schedule="constant", optimizer=row.method.lower()), metric)

    notes = [
        "a sibling paper's numbers (CIFAR-100, ResNet-18); none is from arXiv 2508.03105 itself",
        *([f"ours: {norm.of(frame).title}"] if frame.runs else []),
        *notes_beside(map(ours, rows), other_scale("all of CIFAR-100, ResNet-18, 200 epochs", frame)),
        *([] if frame.runs else [ELSEWHERE]),
    ]
    return published_sheet("Published numbers of a sibling paper: Kamo, Iiduka", rows, notes, ours)


def _alone() -> list[Sheet]:
    """Published numbers that none of ours stands beside, and the learning rates of the other optimizers."""
    rows = published("sgdm_schedules")
    note = "a sibling paper's numbers; none is from arXiv 2508.03105 itself, and none of ours beside it"
    named = {
        "Kamo, Iiduka, component gradients to a target": [row for row in rows if row.metric.startswith("gradients_to")],
        "GSAM with growing batches, test error": [row for row in rows if row.metric == "test_error"],
    }
    title = "Published numbers of a sibling paper"
    sheets = [published_sheet(f"{title}: {what}", numbers, [note]) for what, numbers in named.items()]
    rates = [row for row in rows if row.metric == "lr"]
    return [*sheets, published_sheet("Learning rates of the other optimizers, as published", rates)]


def _ours(part: Frame, metric: Metric) -> Text:
    found = ours_of(part, metric)
    text = found.text if found else "–"
    return Text(text, tone="dim" if text.startswith("–") else "")
