"""VRGD's linear regression (arXiv 2309.13681): how fast VR-SGD is, which weight converges first, gamma and k.

Runs carry the label `part: toy`; what they are is read off their configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from batchlab.results.compare.choice import MARKS, Tuning, judged, seeds_text
from batchlab.results.compare.claims import Claim, Judged, Side
from batchlab.results.compare.derived import known_by, numbers
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric, has_rows
from batchlab.results.compare.outcomes import LOST_STATES
from batchlab.results.compare.table import Table, build_table
from batchlab.results.compare.tuning import UNTUNED, together, tuned
from batchlab.results.papers.vrgd_plots import Weights
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.store.run import State

LOSS = Metric("train_loss")
STEPS = Metric("steps")
ARRIVAL = Metric("there", "steps", ">=", 1.0)
"""Steps until what `_arrival` records: a run that does not get there is censored at its budget."""
BUDGET = 100
HALF_WAY = 60.0
"""Steps that still count as "about step 50"."""
NEAR = 0.5
"""A weight has converged when it is from then on within half the distance between two of w* = 1, ..., 10."""
WEIGHTS = range(1, 11)
LR, GAMMA, K = 0.2, 0.1, 64
"""Of the ablations and of the figures; the paper's learning rate and k, the groups of a batch, are unknown."""
UPPERS = {"one": "upper clip 1", "inverse": "upper clip 1/γ", "none": "no upper clip"}
SGD = "SGD"
VR = {upper: f"VR-SGD, {said}" for upper, said in UPPERS.items()}
SAME, BEST = "same lr", "best lr"

NOTES = [
    "toy: inputs uniform on [0, 1]^10, k and the learning rates are ours, the paper's are unknown; seeds differ in the "
    "order of the samples alone. Control: SGD at lr × mean(r) of each step",
    f"toy: about step 50 means before step {HALF_WAY:.0f}; who does not get there counts as {BUDGET} steps in "
    f"means and as worse than any in tests. A weight has converged when it stays within {NEAR} of its target. Best lr: "
    "the one with the least mean logarithm of the loss on seeds of its own, which are judged in nothing",
    "toy: the paper says that the GSNR rises in the order in which the weights converge; what rises when is not known "
    "to us, so it is drawn and not judged",
]


def tables(frame: Frame) -> list[Table | Sheet]:
    """Loss by learning rate, the order of the weights, and the ablations.

    Args:
        frame: The toy's runs alone.
    """
    if LOSS.name not in frame.names:
        return []
    everyone, (gamma, groups) = compared(frame), ablations(frame)
    main, choice = judged(everyone), _best(everyone)
    losses = [Metric("train_loss", budget="steps", limit=limit) for limit in (25, 50, BUDGET)]
    title = "Linear regression: train loss after 25, 50 and 100 steps"
    made: list[Table | Sheet] = [build_table(main, rows=["lr", "method"], metrics=losses, title=title)]
    made.append(_order({f"{LR:g}": settled(main.where(lr=LR)), "best": settled(choice.frame)}, choice))
    for part, key, rest in ((gamma, "gamma", f"k {K}"), (groups, "k", f"gamma {GAMMA}")):
        title = f"Linear regression: VR-SGD by {key} (lr {LR}, {rest})"
        made.append(build_table(part, rows=[key], cols=["upper"], metrics=losses[1:], title=title))
    return made


def claims(frame: Frame) -> list[Judged]:
    """The verdicts; speed, order and each ablation are corrected apart, by Holm's procedure.

    Args:
        frame: The toy's runs alone.
    """
    everyone, (gamma, groups) = compared(frame), ablations(frame)
    choice = _best(everyone)
    untuned = "" if choice.chosen else " (no tuning runs)"
    first, last = {"weight": [5, 6]}, {"weight": [1, 10]}
    between = {"weight": [w for w in WEIGHTS if w not in (1, 5, 6, 10)]}
    of_vr: dict[str, Any] = {"method": list(VR.values())}
    speed = [
        Claim(
            "VR-SGD reaches at about step 50 SGD's loss of step 100", "its toy", "read",
            Side(name + (untuned if reading == BEST else ""), {"method": name, "reading": reading}),
            (Side(f"the bound ({reading})", {}, HALF_WAY),), ARRIVAL, match=("lr",), side=f"{UPPERS[upper]}, {reading}",
        )
        for upper, name in VR.items()
        for reading in (SAME, BEST)
    ]  # fmt: skip
    order = [
        Claim(
            "VR-SGD: w5 and w6 converge first", "its toy", "read", Side(f"w5, w6{untuned}", of_vr | first),
            (Side("w2 to w4, w7 to w9", of_vr | between), Side("w1, w10", of_vr | last)), ARRIVAL, match=("method",),
        ),
        Claim(
            "VR-SGD: w1 and w10 converge last", "its toy", "read",
            Side(f"w2 to w9{untuned}", of_vr | {"weight": [*range(2, 10)]}),
            (Side("w1, w10", of_vr | last),), ARRIVAL, match=("method",),
        ),
    ]  # fmt: skip
    best = [
        _ablation("the best gamma is about 0.04 to 0.2", "gamma", [0.04, 0.1, 0.2], [0.01, 0.5], upper)
        for upper in ("one", "inverse")
    ]
    best_k = [
        _ablation("the best k is about 32 to 256", "k", [32, 64, 256], [8, 512], upper) for upper in ("one", "inverse")
    ]
    return [
        *judge(race(judged(everyone), choice.frame), speed, "toy: speed"),
        *judge(settled(choice.frame), order, "toy: order"),
        *judge(gamma, best, "toy: gamma"),
        *judge(groups, best_k, "toy: k"),
    ]


def _ablation(text: str, key: str, good: list[float], others: list[float], upper: str) -> Claim:
    where = {"upper": UPPERS[upper]}
    better = Side(f"{key} {', '.join(map(str, good))}", where | {key: good})
    rivals = tuple(Side(f"{key} {value}", where | {key: value}) for value in others)
    return Claim(f"{text} ({UPPERS[upper]})", "its toy", "read", better, rivals, LOSS)


def plots(frame: Frame) -> list[Drawing]:
    """The loss over the steps, and the weights with their GSNR."""
    main = judged(compared(frame)).where(lr=LR)
    title = f"Linear regression at lr {LR}, k {K}"
    shown = main.where(method=[SGD, VR["one"], VR["inverse"]])
    lines = main.select(lambda run: not run.value("method").endswith(UPPERS["none"]))  # they cover those of 1/γ
    return [
        Plot(lines, LOSS, ("steps",), "method", title=f"{title}: train loss"),
        Weights(shown, WEIGHTS, title=f"{title}: weights, and their gradients' signal-to-noise ratio"),
    ]


def compared(frame: Frame) -> Frame:
    """SGD, VR-SGD and the control at every learning rate, labelled `method`, `lr` and `tuning`."""
    main = frame.select(lambda run: run.value("optimizer") == "sgd" or _at(run, GAMMA, K))

    def labels(run: RunRow) -> dict[str, Any]:
        lr, tuning = run.value("optimizer.lr"), run.value("tuning") is True
        return {"method": _method(run), "lr": lr, "tuning": tuning}

    return known_by(main, labels)


def _best(everyone: Frame) -> Tuning:
    """SGD and VR-SGD each at the learning rate that its tuning runs choose; of the control there are none.

    Args:
        everyone: Runs as of `compared`.
    """
    return tuned(everyone.where(method=[SGD, *VR.values()]), LOSS, "lr", ["method"])


def ablations(frame: Frame) -> tuple[Frame, Frame]:
    """VR-SGD over gamma and over k, labelled `upper`, `gamma` and `k`; of seeds that every setting has.

    Returns:
        The runs over gamma at k = `K`, and those over k at gamma = `GAMMA`.
    """
    part = judged(frame).select(
        lambda run: (
            run.value("optimizer") == "vr_sgd"
            and run.value("optimizer.control") is False
            and run.value("optimizer.lr") == LR
            and run.value("optimizer.upper") in ("one", "inverse")
        )
    )

    def labels(run: RunRow) -> dict[str, Any]:
        gamma, groups = run.value("optimizer.gamma"), run.value("train.groups")
        return {"upper": UPPERS[run.value("optimizer.upper")], "gamma": gamma, "k": groups}

    named = known_by(part, labels)
    return _complete(named.where(k=K), "gamma"), _complete(named.where(gamma=GAMMA), "k")


def _complete(frame: Frame, key: str) -> Frame:
    """The seeds that every value of the key has, for each clip by itself: a claim is about one."""
    seeds: dict[Any, dict[Any, set[Any]]] = {}
    for run in frame.runs:
        seeds.setdefault(run.value("upper"), {}).setdefault(run.value(key), set()).add(run.value("seed"))
    shared = {upper: set.intersection(*own.values()) for upper, own in seeds.items()}
    return frame.select(lambda run: run.value("seed") in shared[run.value("upper")])


def race(main: Frame, best: Frame) -> Frame:
    """Steps until VR-SGD's loss is SGD's of its last step, at the same learning rate and each at its best.

    Args:
        main: Judged runs as of `compared`.
        best: Those at their best rates.

    Returns:
        VR-SGD's runs with the columns of `_arrival` and the labels `method`, `reading` (which of the two) and `lr`;
        those of which SGD's is not over yet without numbers, those of which it is lost not at all.
    """
    known = {LOSS.name, STEPS.name} <= main.names
    loss, steps = ((main.column(metric.name)[0] if known else np.zeros(0)) for metric in (LOSS, STEPS))

    def reached(run: RunRow, rival: RunRow) -> dict[str, float]:
        if not known or not run.state is State.DONE is rival.state:
            return {}
        target = float(loss[rival.rows][-1])
        there = np.flatnonzero(loss[run.rows] <= target)
        return _arrival(float(steps[run.rows][there[0]]) if len(there) else None)

    def entries() -> Iterator[tuple[RunRow, dict[str, Any], dict[str, float]]]:
        for reading, part in ((SAME, main), (BEST, best)):

            def place(run: RunRow, reading: str = reading) -> tuple[Any, Any]:
                return run.value("seed"), run.value("lr") if reading == SAME else "best"

            of_sgd = {place(run): run for run in part.where(method=SGD).runs if run.state not in LOST_STATES}
            for run in part.where(method=list(VR.values())).runs:
                rival = of_sgd.get(place(run))
                if rival is None:
                    continue
                labels = {"method": run.value("method"), "reading": reading, "lr": place(run)[1]}
                yield together(run, rival), labels, reached(run, rival)

    return numbers(entries())


def settled(main: Frame) -> Frame:
    """For each run and weight the step from which on it is near its target.

    Args:
        main: Runs as of `compared`.

    Returns:
        The runs, once per weight, with the columns of `_arrival` and the labels `method` and `weight`.
    """
    if not {STEPS.name, *(f"w{i}" for i in WEIGHTS)} <= main.names:
        return numbers(())
    steps, _ = main.column(STEPS.name)
    weights = {i: main.column(f"w{i}")[0] for i in WEIGHTS}

    def converged(run: RunRow, i: int) -> dict[str, float]:
        far = np.flatnonzero(~(np.abs(weights[i][run.rows] - i) <= NEAR))
        after = far[-1] + 1 if len(far) else 0
        return _arrival(float(steps[run.rows][after]) if after < len(steps[run.rows]) else None)

    return numbers(
        (run, {"method": run.value("method"), "weight": i}, converged(run, i) if has_rows(run) else {})
        for run in main.runs
        for i in WEIGHTS
    )


def _arrival(step: float | None) -> dict[str, float]:
    """The row of a run that was there at a step, or (None) never within the budget."""
    return {ARRIVAL.name: float(step is not None), STEPS.name: float(BUDGET) if step is None else step}


def _order(readings: Mapping[str, Frame], choice: Tuning) -> Sheet:
    """The mean step at which each weight converges, one line per learning rate and method."""
    columns = [Column(("lr",)), Column(("method",)), *(Column((f"w{i}",), "right") for i in WEIGHTS)]
    rows, records = [], []
    for lr, found in readings.items():
        for j, method in enumerate(dict.fromkeys(run.value("method") for run in found.runs)):
            line = [Text("" if j else lr), Text(str(method))]
            for i in WEIGHTS:
                part = found.where(method=method, weight=i).select(lambda run: run.state is State.DONE)
                steps = STEPS.measure(part).values if part.runs else np.empty(0)
                mean = float(np.mean(steps)) if len(steps) else float("nan")
                never = "≥ " if part.runs and ARRIVAL.measure(part).missed.any() else ""
                line.append(Text("–" if np.isnan(mean) else f"{never}{mean:.0f}"))
                records.append({"lr": lr, "method": method, "weight": i, "steps": mean, "n": len(steps)})
            rows.append(line)
    notes = [
        f"mean over seeds; converged: from then on within {NEAR} of w* = i; ≥: not within {BUDGET} steps at some seed",
        f"best lr: {_said(choice)}",
        "an order that SGD has too is not VR's",
    ]
    return Sheet("Linear regression: the step at which each weight has converged", columns, rows, notes, records)


def _said(choice: Tuning) -> str:
    if not choice.chosen:
        return UNTUNED
    values = ", ".join(f"{cell[0]} {choice.text(cell)}" for cell in choice.chosen)
    return f"chosen on {seeds_text(choice.seeds)}, not judged: {values} ({MARKS}, the least stands for that)"


def _at(run: RunRow, gamma: float, groups: int) -> bool:
    return bool(run.value("optimizer.gamma") == gamma and run.value("train.groups") == groups)


def _method(run: RunRow) -> str:
    if run.value("optimizer") == "sgd":
        return SGD
    upper = str(run.value("optimizer.upper"))
    return VR[upper] if run.value("optimizer.control") is False else f"control, {UPPERS[upper]}"
