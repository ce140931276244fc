"""VRGD, gradients scaled by their signal-to-noise ratio, arXiv 2309.13681.

Labels of the runs: `part` (toy, network, text, clicks), `tuning` (whether they choose learning rates, and are judged in
nothing) and, of what is no toy, `pair`; see `vrgd_toy`, `vrgd_network` and `vrgd_workloads`.
"""

from __future__ import annotations

import math

from batchlab.results.compare.claims import Judged
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.stats import summarize
from batchlab.results.compare.table import Table
from batchlab.results.compare.tuning import UNTUNED, tuned
from batchlab.results.papers import vrgd_network as network
from batchlab.results.papers import vrgd_toy as toy
from batchlab.results.papers import vrgd_workloads as workloads
from batchlab.results.papers.literature import published, published_sheet
from batchlab.results.papers.reproduction import Reproduction
from batchlab.results.papers.vrgd_network import ACCURACY, BASE, CELL, VR
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.store.run import State

REFERENCE = "VRGD (arXiv 2309.13681)"
TITLE = "Gradients scaled by their signal-to-noise ratio"
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
    notes = [FAMILIES]
    if linear.runs:
        tables += toy.tables(linear)
        judged += toy.claims(linear)
        plots += toy.plots(linear)
        notes += toy.NOTES
    if deep.runs:
        tables += network.tables(deep)
        plots += network.plots(deep)
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
    return Reproduction("vrgd", TITLE, REFERENCE, tables, judged, plots, _published(deep), list(dict.fromkeys(notes)))


def _published(deep: Frame) -> list[Sheet]:
    """Table 5, with ours beneath its numbers where ours ran on its data."""
    table5 = [row for row in published("vrgd") if row.table_or_figure == "Table 5"]
    sizes = list(dict.fromkeys(row.setting for row in table5))
    cifar10 = deep.where(dataset="cifar10")
    ours = tuned(cifar10, ACCURACY, "lr", CELL).frame
    columns = [Column(("method",)), *(Column((size,), "right") for size in sizes)]
    lines = []
    for method in dict.fromkeys(row.method for row in table5):
        theirs = {row.setting: row.value for row in table5 if row.method == method}
        lines.append([Text(method), *(Text(f"{theirs[size]:.2f}", detail=_ours(ours, method, size)) for size in sizes)])
    notes = ["read: mean of 5 seeds of the paper, CIFAR-10, ResNet-56, 182 epochs; its learning rates are unknown"]
    if ours.runs:
        notes.append("beneath: ours, mean ± standard deviation over seeds, each at its best learning rate")
    elif cifar10.runs:
        notes.append(f"none of ours beside it: {UNTUNED}")
    else:
        notes.append("none of ours beside it: these runs are of another data set (`--scale gpu` and `--scale paper`)")
    title = "Published: test accuracy [%], Table 5" + (", and ours beneath" if ours.runs else "")
    return [Sheet(title, columns, lines, notes, published_sheet("", table5).records)]


def _ours(ours: Frame, method: str, setting: str) -> str:
    variant = VR if method.startswith("VR-") else BASE
    size = setting.removeprefix("batch ")
    batch = 1024 * int(size.removesuffix("k")) if size.endswith("k") else int(size)
    part = ours.where(pair=method.removeprefix("VR-"), variant=variant, batch=batch)
    if not part.runs:
        return ""
    done = part.select(lambda run: run.state is State.DONE)
    summary = summarize([100 * v for v in ACCURACY.measure(done).values if math.isfinite(v)] if done.runs else [])
    lost = len(part.runs) - summary.n
    dagger = f" † {lost} not done" if lost else ""
    spread = f" ± {summary.std:.2f}" if summary.n > 1 else ""
    return f"{summary.mean:.2f}{spread}{dagger}" if summary.n else f"–{dagger}"
