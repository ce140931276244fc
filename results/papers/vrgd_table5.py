"""Table 5 of VRGD (arXiv 2309.13681), test accuracies of a ResNet-56 on CIFAR-10, and ours beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchlab.results.compare.frame import Frame
from batchlab.results.compare.tuning import UNTUNED, tuned
from batchlab.results.papers.beside import Ours, notes_beside, other_scale, ours_of
from batchlab.results.papers.literature import Published, published, record
from batchlab.results.papers.vrgd_network import ACCURACY, BASE, CELL, CONTROL, VR, lead_text
from batchlab.results.show.sheet import Column, Sheet, Text

DATA = "cifar10"
READ = "read: mean of 5 seeds of the paper, CIFAR-10, ResNet-56, 182 epochs; its learning rates are unknown"
SCALE = "all of CIFAR-10, ResNet-56, 182 epochs"


def sheet(frame: Frame, deep: Frame) -> Sheet:
    """Table 5, with ours beneath its numbers where ours ran on its data.

    Args:
        frame: All runs, with their configurations.
        deep: Those of the network, as of `vrgd_network.labelled`.
    """
    numbers = _numbers()
    sizes = list(dict.fromkeys(row.setting for row in numbers))
    cifar10 = deep.where(dataset=DATA)
    best = tuned(cifar10, ACCURACY, "lr", CELL).frame
    found = {row: _ours(best, row) for row in numbers}
    columns = [Column(("method",)), *(Column((size,), "right") for size in sizes)]
    lines = []
    for method in dict.fromkeys(row.method for row in numbers):
        theirs = {row.setting: row for row in numbers if row.method == method}
        lines.append([Text(method), *(_cell(theirs[size], found[theirs[size]]) for size in sizes)])
    notes = [READ]
    if any(found.values()):
        notes.append("beneath: ours, mean ± standard deviation over seeds, each at its best learning rate")
        notes += notes_beside(found.values(), other_scale(SCALE, frame.where(part="network", dataset=DATA)))
    elif best.runs:
        notes.append("none of ours beside it: these runs have other batch sizes")
    elif cifar10.runs:
        notes.append(f"none of ours beside it: {UNTUNED}")
    else:
        notes.append("none of ours beside it: these runs are of another data set")
    title = "Published: test accuracy [%], Table 5" + (", and ours beneath" if any(found.values()) else "")
    return Sheet(title, columns, lines, notes, [record(row, own) for row, own in found.items()])


def ours(frame: Frame, best: Frame) -> Sheet:
    """What we trained, a line for each optimizer and batch size: base, VR form, control, VR's lead, and Table 5.

    Args:
        frame: All runs, with their configurations.
        best: Those of the network at their best learning rates, as of `vrgd_network.labelled`.
    """
    here = best.where(dataset=DATA)
    theirs = {(row.method, _batch(row)): row for row in _numbers()} if here.runs else {}
    variants = [variant for variant in (BASE, VR, CONTROL) if best.where(variant=variant).runs]
    batches = best.values("batch") if best.runs else []
    heads = [("optimizer",), ("batch",), *(("ours", variant) for variant in variants), ("ours", "VR's lead")]
    heads += [("Table 5", BASE), ("Table 5", VR)] if theirs else []
    rows: list[list[Text]] = []
    beside: list[Ours | None] = []
    for pair in best.values("pair") if best.runs else ():
        for batch in batches:
            part = best.where(pair=pair, batch=batch)
            found = {variant: ours_of(part.where(variant=variant), ACCURACY) for variant in variants}
            cells = [Text(own.text if own else "") for own in found.values()]
            line = [Text("" if rows and batch != batches[0] else str(pair)), Text(f"{batch:,}"), *cells]
            line.append(replace(lead_text(part, BASE), detail=""))
            for variant in (BASE, VR) if theirs else ():
                row = theirs.get((f"{'VR-' if variant == VR else ''}{pair}", batch))
                own = found.get(variant)
                line.append(Text(f"{row.value:.2f}", detail=_distance(own, row)) if row else Text(""))
                beside.append(own if row else None)
            rows.append(line)
    columns = [Column(head, "left" if i == 0 else "right") for i, head in enumerate(heads)]
    notes = [
        "test accuracy [%], mean ± standard deviation over seeds, each at the learning rate that was best on seeds of "
        "its own; VR's lead: points, seed by seed"
    ]
    notes += [f"Table 5: {READ}", *notes_beside(beside, other_scale(SCALE, _of_network(frame)))] if theirs else []
    return Sheet("Test accuracy by batch size, ours and published", columns, rows, notes, [], UNTUNED)


def _of_network(frame: Frame) -> Frame:
    return frame.where(part="network", dataset=DATA)


def _numbers() -> list[Published]:
    return [row for row in published("vrgd") if row.table_or_figure == "Table 5"]


def _distance(own: Ours | None, row: Published) -> str:
    return f"({said})" if own and (said := own.distance(row.value)) else ""


def _cell(row: Published, own: Ours | None) -> Text:
    return Text(f"{row.value:.2f}", detail=own.beside(row.value) if own else "")


def _ours(best: Frame, row: Published) -> Ours | None:
    variant = VR if row.method.startswith("VR-") else BASE
    part: dict[str, Any] = {"pair": row.method.removeprefix("VR-"), "variant": variant, "batch": _batch(row)}
    return ours_of(best.where(**part), ACCURACY)


def _batch(row: Published) -> int:
    """`batch 8k` is 8,192."""
    size = row.setting.removeprefix("batch ")
    return 1024 * int(size.removesuffix("k")) if size.endswith("k") else int(size)
