"""VRGD's comparison on a language and on recommendation, all of it ours: the paper's are BERT and DLRM on real logs.

Runs carry the labels `part` (text, clicks) and `pair` (adam, lamb, sgd), and are known as those of `vrgd_network` are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchlab.results.compare.choice import Tuning, judged
from batchlab.results.compare.claims import Claim, Judged, Side
from batchlab.results.compare.derived import numbers
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.table import Table, build_table
from batchlab.results.compare.tuning import tuned
from batchlab.results.papers.vrgd_network import APART, BASE, CELL, CONTROL, VR, gains, rates_sheet
from batchlab.results.papers.vrgd_plots import MetricByRate
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.sheet import Sheet

NOTE = (
    "text and clicks: ours, small models on small data, where the paper has BERT and DLRM on logs of clicks. What is "
    "claimed is the direction of the paper's numbers; each at its best of three learning rates, chosen on seeds of "
    "their own as the network's are. Few steps in all at the largest batch"
)


@dataclass(frozen=True)
class Workload:
    """A comparison of VR forms with their base optimizers on one model and its data.

    Attributes:
        part: The label of its runs.
        title: Of its tables.
        metric: In what they are compared, at the end of a run.
        gain: Column for VR's lead in it.
        pairs: Base optimizers, each with the source and the certainty of "its VR form beats it".
        growth: Source and certainty of "VR helps more the larger the batch".
        note: How to read it.
    """

    part: str
    title: str
    metric: Metric
    gain: str
    pairs: dict[str, tuple[str, str]]
    growth: tuple[str, str]
    note: str


WORKLOADS = (
    Workload(
        "text", "Text (a small transformer)", Metric("test_perplexity"), "perplexity_gain",
        {"Adam": ("ours", "ours"), "LAMB": ("BERT F1", "read")}, ("ours", "ours"),
        "text: perplexities are compared by their ratio; single characters' frequencies give 24.6, and 5 steps, "
        "all there are at the largest batch, hardly less. No control: no base feels a common factor of the gradient",
    ),
    Workload(
        "clicks", "Clicks (a small DLRM)", Metric("test_auc"), "auc_gain",
        {"SGD": ("DLRM AUC", "read")}, ("DLRM AUC", "read"),
        "clicks: no model has an AUC above the planted one's, 83.6 % on these test samples. The control is SGD at lr × "
        "mean(r) of each step",
    ),
)  # fmt: skip


def claims(workload: Workload, frame: Frame) -> list[Judged]:
    """The verdicts on a workload, corrected together by Holm's procedure.

    Args:
        workload: Which.
        frame: Its runs, as of `vrgd_network.labelled`.
    """
    choice = _choice(workload, frame)
    return judge(_judged_on(workload, choice.frame), _asked(workload, frame, choice), workload.part)


def _choice(workload: Workload, frame: Frame) -> Tuning:
    return tuned(frame, workload.metric, "lr", CELL)


def _asked(workload: Workload, frame: Frame, choice: Tuning) -> list[Claim]:
    batches = frame.values("batch")
    untuned = "" if choice.chosen else " (no tuning runs)"
    model = workload.title.partition(" (")[2].removesuffix(")")

    def side(variant: str, pair: str) -> Side:
        label = variant if variant == VR else f"{variant}, at its best lr"
        return Side(label + untuned, {"variant": variant, "pair": pair, "gain": False})

    def gain(batch: Any) -> Side:
        return Side(f"gain at batch {batch}{untuned}", {"gain": True, "batch": batch})

    source, certainty = workload.growth
    found = [
        Claim(
            f"VR helps {model} more the larger the batch", source, certainty,
            gain(batches[-1]), (gain(batches[0]),), Metric(workload.gain), match=("pair",),
        )
    ]  # fmt: skip
    for pair, (source, certainty) in workload.pairs.items():
        text = f"VR-{pair} beats {pair} on {model} (over all batch sizes)"
        rival = side(BASE, pair)
        found.append(Claim(text, source, certainty, side(VR, pair), (rival,), workload.metric, match=("batch",)))
    for pair in frame.where(variant=CONTROL).values("pair"):
        text = f"VR-{pair} is more than 1 point away from its control on {model}, at some batch"
        rival = side(CONTROL, pair)
        found.append(
            Claim(
                text, "our own check", "ours", side(VR, pair), (rival,), workload.metric,
                match=("batch",), margin=APART, apart=True,
            )
        )  # fmt: skip
    return found


def _judged_on(workload: Workload, best: Frame) -> Frame:
    """What the claims compare, in one frame: runs at their best rates, and VR's gains over its base."""

    def entries() -> Iterator[tuple[RunRow, dict[str, Any], dict[str, float]]]:
        name = workload.metric.name
        values = workload.metric.measure(best).values if name in best.names else [math.nan] * len(best.runs)
        for run, value in zip(best.runs, values, strict=True):
            labels = {key: run.value(key) for key in CELL} | {"gain": False}
            yield run, labels, {name: float(value)} if math.isfinite(value) else {}
        for run, labels, gain in gains(best, BASE, workload.metric):
            yield run, labels | {"gain": True}, {workload.gain: gain} if math.isfinite(gain) else {}

    return numbers(entries())


def tables(workload: Workload, frame: Frame) -> list[Table | Sheet]:
    """What each came to at its best learning rate, VR's lead, and the learning rates that were chosen.

    Args:
        workload: Which.
        frame: Its runs, as of `vrgd_network.labelled`.
    """
    choice = _choice(workload, frame)
    made: list[Table | Sheet] = []
    if choice.chosen and workload.metric.name in choice.frame.names:
        bound = workload.metric.of(frame)
        made.append(
            build_table(
                choice.frame, rows=["pair", "variant"], cols=["batch"], metrics=[bound],
                title=f"{workload.title}: {bound.title} by batch size, each at its best learning rate",
            )
        )  # fmt: skip
        lead = _judged_on(workload, choice.frame).where(gain=True)
        if lead.runs and workload.gain in lead.names:
            title = f"{workload.title}: VR's lead over its base, {Metric(workload.gain).title}"
            made.append(build_table(lead, rows=["pair"], cols=["batch"], metrics=[Metric(workload.gain)], title=title))
    return [*made, rates_sheet(choice, frame.values("batch"), workload.title)]


def plots(workload: Workload, frame: Frame) -> list[Drawing]:
    """The metric against the learning rate.

    Args:
        workload: Which.
        frame: Its runs, as of `vrgd_network.labelled`.
    """
    bound = workload.metric.of(frame)
    title = f"{workload.title}: {bound.label} by learning rate"
    return [MetricByRate(judged(frame), bound, title, _choice(workload, frame).found)]
