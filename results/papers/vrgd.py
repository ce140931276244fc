"""VRGD, gradients scaled by their signal-to-noise ratio, arXiv 2309.13681.

Labels of the runs: `part` (toy, network, text, clicks), `tuning` (whether they choose learning rates, and are judged in
nothing) and, of what is no toy, `pair`; see `vrgd_toy`, `vrgd_network` and `vrgd_workloads`.
"""

from __future__ import annotations

from functools import partial

from batchlab.results.compare.claims import Judged
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.table import Table
from batchlab.results.compare.tuning import tuned
from batchlab.results.papers import vrgd_network as network
from batchlab.results.papers import vrgd_table5 as table5
from batchlab.results.papers import vrgd_toy as toy
from batchlab.results.papers import vrgd_workloads as workloads
from batchlab.results.papers.reproduction import Front, Reproduction
from batchlab.results.papers.vrgd_network import ACCURACY, CELL
from batchlab.results.papers.vrgd_plots import AccuracyByBatch
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.sheet import Sheet

REFERENCE = "VRGD (arXiv 2309.13681)"
TITLE = "Gradients scaled by their signal-to-noise ratio"
QUESTION = (
    "Does it help to scale each coordinate's step by the signal-to-noise ratio of its gradient (VR), and does it help "
    "more the larger the batch?"
)
CAPTION = (
    "Test accuracy against the batch size, mean and standard deviation over seeds, each optimizer at its best learning "
    "rate. The control takes VR's mean step without its choice among coordinates."
)
FAMILIES = (
    "Holm: the toy's speed, its order, its gamma, its k, the network, the text and the clicks are corrected apart, "
    "each as a family"
)


def build(frame: Frame) -> Reproduction:
    """Tables, claims and figures of the toy, the network, the text and the clicks, and Table 5 beside ours.

    Args:
        frame: Runs with the labels above, in any state.
    """
    linear, deep = frame.where(part="toy"), network.labelled(frame)
    tables: list[Table | Sheet] = []
    judged: list[Judged] = []
    plots: list[Drawing] = []
    panes: list[Drawing] = []
    notes = [FAMILIES]
    if linear.runs:
        tables += toy.tables(linear)
        judged += toy.claims(linear)
        plots += toy.plots(linear)
        notes += toy.NOTES
    if deep.runs:
        tables += network.tables(deep)
        plots += network.plots(deep)
        panes += [_by_batch(tuned(deep, ACCURACY, "lr", CELL).frame), *network.training(deep)]
        notes += network.NOTES
        if {run.value("dataset") for run in deep.runs} == {"digits"}:
            notes.append(network.LAPTOP)
    judged += network.claims(deep)
    for workload in workloads.WORKLOADS:
        own = network.labelled(frame, workload.part)
        if own.runs:
            tables += workloads.tables(workload, own)
            judged += workloads.claims(workload, own)
            plots += workloads.plots(workload, own)
            notes += [workloads.NOTE, workload.note]
    beside = [table5.sheet(frame, deep)]
    front = partial(_front, frame, deep)
    noted = list(dict.fromkeys(notes))
    return Reproduction("vrgd", TITLE, REFERENCE, tables, judged, plots, beside, noted, front=front, panes=panes)


def _front(frame: Frame, deep: Frame) -> Front:
    """The network, beside Table 5: base, VR form and control, and how far VR leads."""
    best = tuned(deep, ACCURACY, "lr", CELL).frame if deep.runs else deep
    figure = _by_batch(best)
    return Front(QUESTION, [table5.ours(frame, best)], figure if figure.drawable else None, CAPTION)


def _by_batch(best: Frame) -> AccuracyByBatch:
    """The network's accuracies over the batch size."""
    return AccuracyByBatch(best, "Test accuracy by batch size, each at its best learning rate")
