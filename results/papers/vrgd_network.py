"""VRGD's comparison of base optimizers, their VR forms and the control, on a network (arXiv 2309.13681).

Runs carry the labels `part: network` and `pair` (momentum, adam, lars, lamb). What a run is within its pair, the base
optimizer, its VR form or the control (the base optimizer at lr x mean(r) of each step), is read off its configuration,
as are the batch size and the learning rate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from batchlab.results.compare.choice import MARKS, Tuning, judged, seeds_text
from batchlab.results.compare.claims import Claim, Judged, Side
from batchlab.results.compare.derived import known_by, numbers
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.stats import summarize
from batchlab.results.compare.table import Table, build_table
from batchlab.results.compare.tuning import UNTUNED, together, tuned
from batchlab.results.papers.vrgd_plots import MetricByRate
from batchlab.results.show.drawing import Drawing
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Column, Sheet, Text, decimals
from batchlab.results.store.run import State

ACCURACY = Metric("test_accuracy")
LOSS = Metric("train_loss")
TRAINING = "Network: training, each at its best learning rate"
REESTIMATED = Metric("test_accuracy_reestimated")
METRICS = (ACCURACY, REESTIMATED, Metric("train_accuracy"))
GAIN = "accuracy_gain"
PAIRS = {"momentum": "Momentum", "adam": "Adam", "lars": "LARS", "lamb": "LAMB"}
NAMES = PAIRS | {"sgd": "SGD"}
BASE, VR, CONTROL = "base", "VR", "control"
CELL = ("pair", "variant", "batch")
RATES = {"best": "each at its best lr", "same": "at the same lr"}
"""At which learning rates two forms are compared."""
APART = 0.01
"""VR and its control differ when their accuracies differ by more than this: one point."""

NOTES = [
    "network: each at the learning rate that was best on seeds of its own, which are judged in nothing, by the mean "
    "test accuracy of the last evaluation (of equals the smaller; one with a tuning run that did not finish is out). "
    "All have the same three rates and as many tuning runs; the best may lie between or beyond them. Other seeds, but "
    "the same test images",
    "network: whether VR is better is averaged over the pairs, seed by seed; single pairs are in the tables, without a "
    "verdict. Whether it is apart from its control is asked of each pair, at each batch (and rate) by itself, and "
    "corrected for how many these are; the one that decides is shown",
    "control: the base optimizer at lr × mean(r) of each step. Momentum's takes VR's mean step without its choice "
    "among coordinates: where the two differ, VR is not only a smaller step. Adam, and LARS and LAMB but for weight "
    "decay, do not feel a common factor of the gradient: their VR forms step further than their controls, and a "
    "difference may be that step's length",
    "network: base and VR see the same 8 micro-batches per step, and BatchNorm takes its statistics from these on both "
    "sides. An epoch's last batch is what is left, on both sides",
    "VR-Adam and VR-LAMB are reconstructions: the paper's appendix was not available. Its learning rates, weight "
    "decay, warm-up and k are unknown too",
]
LAPTOP = (
    "network on digits: ours, not the paper's. At equal epochs the full batch takes 5 steps in all, batch 32 takes "
    "230: this says who makes more of few steps, nothing about long training. At batch 32 all are near the ceiling, "
    "which narrows differences there"
)


def claims(network: Frame) -> list[Judged]:
    """The verdicts, corrected together by Holm's procedure.

    Args:
        network: Runs as of `labelled`.
    """
    choice = tuned(network, ACCURACY, "lr", CELL)
    return judge(_judged_on(judged(network), choice.frame), _asked(judged(network), choice), "network")


def _asked(network: Frame, choice: Tuning) -> list[Claim]:
    untuned = "" if choice.chosen else " (no tuning runs)"
    batches = network.values("batch") if network.runs else []
    small, large = (batches[0], batches[-1]) if batches else ("small", "large")
    gained = [Metric(GAIN), *([Metric(f"{GAIN}_reestimated")] if REESTIMATED.name in network.names else [])]
    controls = network.where(variant=CONTROL)
    controlled = {"batch": controls.values("batch") if controls.runs else []}

    def side(variant: str, rates: str, **where: Any) -> Side:
        label = f"{variant}, {RATES[rates]}" if variant == BASE else variant  # a control's claim says it itself
        label += untuned if rates == "best" else ""
        return Side(label, {"variant": variant, "rates": rates, **where})

    def gain(batch: Any) -> Side:
        return Side(f"gain at batch {batch}{untuned}", {"gain": True, "batch": batch})

    return [
        *(
            Claim(
                "VR helps more the larger the batch", "Table 5", "read",
                gain(large), (gain(small),), metric, match=("pair",),
                side="" if len(gained) == 1 else "as measured" if metric.name == GAIN else "BatchNorm re-estimated",
            )
            for metric in gained
        ),
        Claim(
            "VR beats its base optimizer (over all batch sizes)", "Table 5", "read",
            side(VR, "best"), (side(BASE, "best"),), ACCURACY, match=("pair", "batch"),
        ),
        *(
            Claim(
                f"{pair}: VR is more than 1 point away from its control, at some batch", "our own check", "ours",
                side(VR, rates, pair=pair, **controlled), (side(CONTROL, rates, pair=pair, **controlled),), ACCURACY,
                match=("batch", "lr"), margin=APART, apart=True, side=RATES[rates],
            )
            for pair in (controls.values("pair") if controls.runs else PAIRS.values())
            for rates in ("best", "same")
        ),
    ]  # fmt: skip


def labelled(frame: Frame, name: str = "network") -> Frame:
    """A part's runs, labelled `pair`, `variant`, `batch`, `lr` (a schedule's peak, where it has one), `tuning`.

    Args:
        frame: All runs.
        name: Of the part.
    """
    part = frame.where(part=name).select(lambda run: isinstance(run.value("batch_schedule.size"), int))

    def labels(run: RunRow) -> dict[str, Any]:
        peak = run.value("lr_schedule.peak")
        lr = run.value("optimizer.lr") * (peak if isinstance(peak, (int, float)) else 1.0)
        return {
            "part": name,
            "dataset": run.value("dataset"),
            "pair": NAMES.get(run.value("pair"), run.value("pair")),
            "variant": variant_of(run),
            "batch": run.value("batch_schedule.size"),
            "lr": float(f"{lr:.3g}"),
            "tuning": run.value("tuning") is True,
        }

    return known_by(part, labels)


def variant_of(run: RunRow) -> str:
    """What a run is within its pair."""
    if not str(run.value("optimizer")).startswith("vr_"):
        return BASE
    return CONTROL if run.value("optimizer.control") is True else VR


def _judged_on(network: Frame, best: Frame) -> Frame:
    """What the claims compare, in one frame: runs at their best rates and at all, and VR's gains over its base."""
    names = [metric for metric in (ACCURACY, REESTIMATED) if metric.name in network.names]

    def entries() -> Iterator[tuple[RunRow, dict[str, Any], dict[str, float]]]:
        for rates, part in (("best", best), ("same", network)):
            values = [metric.measure(part).values for metric in names]
            for i, run in enumerate(part.runs):
                labels = {key: run.value(key) for key in CELL} | {"rates": rates}
                labels["lr"] = run.value("lr") if rates == "same" else "best"
                found = {metric.name: float(own[i]) for metric, own in zip(names, values, strict=True)}
                yield run, labels, {k: v for k, v in found.items() if math.isfinite(v)}
        for metric in names:
            for run, labels, gain in gains(best, BASE, metric):
                yield run, labels | {"gain": True}, {} if math.isnan(gain) else {_gain_of(metric): gain}

    return numbers(entries())


def _gain_of(metric: Metric) -> str:
    return GAIN if metric == ACCURACY else f"{GAIN}_reestimated"


def gains(best: Frame, rival: str, metric: Metric) -> Iterator[tuple[RunRow, dict[str, Any], float]]:
    """VR's lead over the rival for each pair, batch size and seed, each at its best rate.

    Yields:
        VR's run, its labels, and the lead: the difference, or, of what spans orders of magnitude and is better down,
        how many times as large the rival's is; NaN where either is not done. Where only the rival is not, VR's lead has
        no number and is not lost either: the seed is left out.
    """
    if metric.name not in best.names:
        return
    values = dict(zip([run.run_id for run in best.runs], metric.measure(best).values, strict=True))
    log = metric.of(best).quantity.log

    def place(run: RunRow) -> tuple[Any, ...]:
        return run.value("pair"), run.value("batch"), run.value("seed")

    rivals = {place(run): run for run in best.where(variant=rival).runs}
    for run in best.where(variant=VR).runs:
        other = rivals.get(place(run))
        if other is None:
            continue
        done = run.state is State.DONE is other.state
        own, its = float(values[run.run_id]), float(values[other.run_id])
        gain = (its / own if log else own - its) if done else math.nan
        yield together(run, other), {"pair": run.value("pair"), "batch": run.value("batch")}, gain


def tables(network: Frame) -> list[Table | Sheet]:
    """Accuracies, VR's lead, the learning rates that were chosen, and the mean multiplier.

    Args:
        network: Runs as of `labelled`.
    """
    choice, batches = tuned(network, ACCURACY, "lr", CELL), network.values("batch")
    made: list[Table | Sheet] = [
        build_table(
            choice.frame, rows=["pair", "variant"], cols=["batch"], metrics=[metric],
            title=f"Network: {metric.title} by batch size, each at its best learning rate",
        )
        for metric in METRICS
        if metric.name in network.names and choice.chosen
    ]  # fmt: skip
    made += [_gain_sheet(choice.frame, batches), rates_sheet(choice, batches)]
    multipliers = _multipliers(judged(network))
    if multipliers.runs:
        title = "Network: mean multiplier r of VR over coordinates, steps and learning rates"
        made.append(
            build_table(multipliers, rows=["pair"], cols=["batch"], metrics=[Metric("multiplier")], title=title)
        )
    return made


def _gain_sheet(best: Frame, batches: Sequence[Any]) -> Sheet:
    """VR's lead in points, with its sign, by pair and over all pairs."""
    columns = [Column(("VR's lead over",)), Column(("pair",)), *(Column((f"batch {b}",), "right") for b in batches)]
    rows, records = [], []
    for rival in (BASE, CONTROL):
        found: dict[tuple[Any, Any], dict[Any, float]] = {}
        lost: Counter[tuple[Any, Any]] = Counter()
        for run, labels, gain in gains(best, rival, ACCURACY):
            where = labels["pair"], labels["batch"]
            found.setdefault(where, {})
            if math.isnan(gain):
                lost[where] += 1
            else:
                found[where][run.value("seed")] = 100 * gain
        pairs = list(dict.fromkeys(pair for pair, _ in found))
        for batch in batches:  # all pairs: the mean over them, of the seeds that all have
            own = [found[pair, batch] for pair in pairs if (pair, batch) in found]
            shared = set.intersection(*(set(gains) for gains in own)) if own else set()
            if own:
                found["all pairs", batch] = {seed: float(np.mean([g[seed] for g in own])) for seed in sorted(shared)}
        for i, pair in enumerate([*pairs, *(["all pairs"] if pairs else [])]):
            cells = [_lead(found.get((pair, batch)), lost[pair, batch]) for batch in batches]
            rows.append([Text("" if i else rival), Text(pair), *cells])
            for batch in batches:
                summary = summarize(list(found.get((pair, batch), {}).values()))
                records.append({"rival": rival, "pair": pair, "batch": batch, "n": summary.n, "mean": summary.mean,
                                "std": summary.std, "ci_low": summary.low, "ci_high": summary.high})  # fmt: skip
    notes = [
        "points of test accuracy, each at its best learning rate; mean ± standard deviation over seeds, 95 % t interval"
    ]
    return Sheet("Network: VR's lead by batch size", columns, rows, notes, records, UNTUNED)


def lead_text(best: Frame, rival: str) -> Text:
    """VR's lead over a rival in points, over all that is given: mean ± standard deviation and interval over seeds.

    Args:
        best: Runs at their best learning rates, of one pair and batch.
        rival: Over which variant.
    """
    found = [(run.value("seed"), gain) for run, _, gain in gains(best, rival, ACCURACY)]
    known = {seed: 100 * gain for seed, gain in found if not math.isnan(gain)}
    return _lead(known if found else None, len(found) - len(known))


def _lead(gains: dict[Any, float] | None, lost: int) -> Text:
    if gains is None:
        return Text("")
    summary, dagger = summarize(list(gains.values())), f"† {lost} not done" if lost else ""
    if not summary.n:
        return Text("–", detail=dagger, tone="dim")
    places = min(decimals(summary.std, summary.mean), 2)
    text = f"{summary.mean:+.{places}f}" + (f" ± {summary.std:.{places}f}" if summary.n > 1 else "")
    interval = f"[{summary.low:+.{places}f}, {summary.high:+.{places}f}]" if summary.n > 1 else ""
    return Text(text, detail="  ".join(filter(None, (interval, dagger))))


def rates_sheet(choice: Tuning, batches: Sequence[Any], part: str = "Network") -> Sheet:
    """Which learning rates were chosen, and whether at the edge of what was on offer."""
    columns = [Column(("pair",)), Column(("variant",)), *(Column((f"batch {b}",), "right") for b in batches)]
    rows, before = [], None
    for pair, variant in dict.fromkeys(cell[:2] for cell in choice.chosen):
        cells = [Text(choice.text((pair, variant, batch))) for batch in batches]
        rows.append([Text("" if pair == before else str(pair)), Text(str(variant)), *cells])
        before = pair
    records = [
        dict(zip(CELL, cell, strict=True)) | {"lr": lr, "edge": choice.edge(cell)} for cell, lr in choice.chosen.items()
    ]
    title = f"{part}: learning rates" + (f", chosen on {seeds_text(choice.seeds)}" if choice.seeds else "")
    return Sheet(title, columns, rows, [f"{MARKS}, the least stands for that"], records, UNTUNED)


def _multipliers(network: Frame) -> Frame:
    layers = network.where(variant=VR).stream("layers")
    if not {"mean", "size"} <= layers.names:
        return numbers(())
    mean, size = layers.column("mean")[0], layers.column("size")[0]
    return numbers(
        (
            run,
            {"pair": run.value("pair"), "batch": run.value("batch")},
            {"multiplier": float(np.average(mean[run.rows], weights=size[run.rows]))},
        )
        for run in layers.runs
        if run.rows.stop > run.rows.start
    )


def plots(network: Frame) -> list[Drawing]:
    """Accuracy against the learning rate, and VR-Momentum's multiplier in each layer."""
    title = "Network: test accuracy by learning rate"
    seen = tuple(map(Metric, ("mean", "clipped_low", "clipped_high")))
    choice = tuned(network, ACCURACY, "lr", CELL)
    layers = choice.frame.where(pair="Momentum", variant=VR).stream("layers")
    return [
        MetricByRate(judged(network), ACCURACY, title, choice.found),
        Layers(layers, seen, "batch", title="VR-Momentum: the multiplier r in each layer"),
    ]


def training(network: Frame) -> list[Drawing]:
    """Accuracy and loss over training, of each pair at each batch."""
    best = tuned(network, ACCURACY, "lr", CELL).frame
    trained = [metric for metric in (ACCURACY, LOSS) if _over_training(best, metric)]
    return [Plot(best, metric, ("samples",), "variant", "pair,batch", TRAINING) for metric in trained]


def _over_training(frame: Frame, metric: Metric) -> bool:
    """Whether some run has measured it more than once: a single place is no curve."""
    if not frame.has(metric.name):
        return False
    valid = frame.column(metric.name)[1]
    return any(int(valid[run.rows].sum()) > 1 for run in frame.runs)
