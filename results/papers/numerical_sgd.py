"""SGD as a numerical integrator of the gradient flow, arXiv 2409.04707.

Labels of the runs: `problem`, its `curvature`, `scheme` (a method of published/numerical_sgd.csv) and `share`, the
learning rate in shares of the scheme's stability limit over the curvature. Axes: seed. Runs with the label `tuning`
choose the learning rates by the rule of `compare.tuning`; the others are judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from batchlab.results.compare.choice import judged
from batchlab.results.compare.claims import Claim, Judged, Side, observed
from batchlab.results.compare.frame import Frame
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric, budgets
from batchlab.results.compare.table import Table
from batchlab.results.compare.tuning import READINGS, Study, counted
from batchlab.results.papers.integrator_plots import Integrators, LossByShare, share_text, slope
from batchlab.results.papers.literature import published
from batchlab.results.papers.reproduction import Front, Reproduction
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number
from batchlab.results.store.run import State
from batchlab.results.words import exponent

REFERENCE = "arXiv 2409.04707"
EULER, TAYLOR = "Euler (SGD)", "Taylor 4-instant (our interpretation)"
MULTISTEP = (TAYLOR, "Adams-Bashforth 2", "Adams-Bashforth 3", "Adams-Bashforth 4")
RUNGE_KUTTA = ("Heun (RK2)", "RK4")
SCHEMES = {
    "sgd": EULER, "taylor": TAYLOR, "ab2": MULTISTEP[1], "ab3": MULTISTEP[2], "ab4": MULTISTEP[3],
    "heun": RUNGE_KUTTA[0], "rk4": RUNGE_KUTTA[1], "shb": "heavy ball 0.9", "nesterov": "Nesterov 0.9",
}  # fmt: skip
LOSS, ACCURACY, TIME = Metric("train_loss"), Metric("test_accuracy"), Metric("train_seconds")
NO_WORSE = -0.1
"""Margin of `no worse`: a loss at most 10 % higher. Fixed before the first run."""
ORDER_WITHIN = 0.1
"""How far a measured order may lie from the theory's."""
LIMIT_WITHIN = 0.01
"""A stability limit counts as lower when it is so by more than this share."""
QUESTION = (
    "SGD is Euler's method on the flow of the gradient: does a scheme of higher order train better? The paper's own "
    "scheme is not known to us as a formula; what stands for it here is our interpretation."
)
AT_ITS_RATE = "each scheme at its rate for equal epochs"
CAPTION = (
    "Train loss against epochs and against gradient evaluations, of which schemes of more stages take several a step, "
    "each scheme at the learning rate that was best on seeds of their own."
)
NOTES = [
    f"{TAYLOR} is the scheme of that name that fits the paper's words; the paper's formula, data sets, models, "
    "settings and numbers are unknown to us. Problems, budgets, batches, grids and seeds are ours",
    "quadratic: linear regression without noise, the whole training set at every step, in 10 dimensions (condition "
    "number 171) or 100 (10,500); logistic: two classes, breast cancer; resnet8: digits; resnet18: CIFAR-10",
    "learning rates: for each scheme and reading the one of its grid with the least median train loss over seeds 0 and "
    "1, which count in nothing else. Grids step by factors of about 2 (quadratic) and 4: what is close here may stand "
    "the other way round on a finer grid",
    "equal epochs is the paper's own reading: in them Heun's scheme evaluates 2 and RK4 4 times as many gradients; for "
    "the other schemes equal gradient evaluations are equal epochs. Equal time is training time, read at evaluations: "
    "measured on a busy machine it says little",
    "a margin of -0.1 makes `no worse` of `better`: a loss up to 10 % higher is allowed. The train loss is the mean "
    "over the mini-batches since the last evaluation, as they were trained on",
]


def build(frame: Frame) -> Reproduction:
    """Tables, claims and plots: each scheme at its own learning rate, and over its whole grid.

    Args:
        frame: Runs with the labels above, in any state; `measured` has what was measured of the schemes themselves.

    Raises:
        ValueError: The runs have no label `share`: they are not of its recipe.
    """
    frame.values("share")  # refuses runs that are not its recipe's
    frame = counted(frame, ["problem", "scheme"])
    studies = [Study(problem, frame.where(problem=problem), LOSS) for problem in frame.values("problem")]
    tables: list[Table | Sheet] = []
    for study in studies:
        title = f"{study.problem}: each scheme at its own learning rate, its spread over initialisations"
        tables += [study.table(title, ACCURACY), _grid(study)]
    chosen = replace(frame, runs=[run for study in studies for run in study.judged("epochs").runs])
    return Reproduction(
        "numerical_sgd",
        "SGD as a numerical integrator",
        REFERENCE,
        [*tables, _epoch_times(studies)],
        [
            *_of_the_schemes(frame.measured),
            *judge(judged(frame), [claim for study in studies for claim in claims(study)]),
        ],
        [
            LossByShare({s.problem: s.final for s in studies}, {s.problem: s.start for s in studies}),
            Plot(chosen, LOSS, READINGS, "scheme", "problem", "Train loss, each scheme at its rate for equal epochs"),
            Integrators(
                frame.measured.get("steps", []),
                _errors(frame.measured),
                _by_scheme(frame.measured, "limits"),
                _published("stability_limit"),
            ),
        ],
        [_theory(frame.measured)],
        NOTES,
        front=partial(_front, studies, frame.measured),
    )


def _front(studies: Sequence[Study], measured: dict[str, Any]) -> Front:
    """Each scheme at its own rate on the last problem, the hardest; theory and what was measured."""
    title = "{}: each scheme at its own learning rate"
    tables: list[Table | Sheet] = [study.table(title.format(study.problem), ACCURACY) for study in studies[-1:]]
    for study in studies[-1:]:
        clocks = ("epochs", "gradients")
        figure = Plot(
            study.judged("epochs"), LOSS, clocks, "scheme", title=f"{study.problem}: train loss, {AT_ITS_RATE}"
        )
        if figure.frame.runs and figure.drawable:
            return Front(QUESTION, [*tables, _theory(measured)], figure, CAPTION)
    return Front(QUESTION, [*tables, _theory(measured)])


def claims(study: Study) -> list[Claim]:
    """The paper's and the theory's claims on a problem, each side at the learning rate of its reading."""
    problem = study.problem

    def side(scheme: str, reading: str) -> Side:
        share = study.chosen[reading].get(scheme)
        label = scheme if share is not None else f"{scheme} (no learning rate had a loss on every tuning seed)"
        return Side(label, {"problem": problem, "scheme": scheme, "share": share})

    def said(
        text: str, better: str, rivals: Sequence[str], *readings: str, metric: Metric = LOSS, margin: float = 0.0
    ) -> list[Claim]:
        whose = ("theory", "ours") if margin else ("abstract", "read; the scheme is our interpretation")
        sides = {at: (side(better, at), tuple(side(rival, at) for rival in rivals)) for at in readings}
        return [Claim(f"{problem}: {text}", *whose, *sides[at], metric, at, margin=margin) for at in readings]

    found = said("the Taylor multi-step scheme improves on SGD", TAYLOR, [EULER], "epochs", "seconds")
    if study.has(ACCURACY):
        text = "the Taylor multi-step scheme is more accurate than SGD on the test set"
        found += said(text, TAYLOR, [EULER], "epochs", metric=ACCURACY)
    text = "higher order alone does not converge in fewer steps: SGD is no worse than"
    found += said(f"{text} the multistep schemes", EULER, MULTISTEP, "epochs", "seconds", margin=NO_WORSE)
    found += said(f"{text} Heun and RK4", EULER, RUNGE_KUTTA, "epochs", margin=NO_WORSE)
    text = "several gradients per step do not pay: SGD is no worse than Heun and RK4"
    return found + said(text, EULER, RUNGE_KUTTA, "gradients", "seconds", margin=NO_WORSE)


def _of_the_schemes(measured: dict[str, Any]) -> list[Judged]:
    """What theory says of the schemes themselves, and what was measured on the optimizers."""
    expected, orders, limits = _published("order"), _orders(measured), _by_scheme(measured, "limits")
    right = [abs(orders[scheme] - p) <= ORDER_WITHIN for scheme, p in expected.items() if scheme in orders]
    lower = [limits[s] < limits[EULER] * (1 - LIMIT_WITHIN) for s in MULTISTEP if s in limits and EULER in limits]
    slopes = [f"{_short(scheme)} {order:.2f}" for scheme, order in orders.items()]
    found = [f"{_short(scheme)} {limits[scheme]:.3f}" for scheme in (EULER, *MULTISTEP) if scheme in limits]
    rivals = tuple(Side(scheme, {}) for scheme in MULTISTEP)
    said = (
        ("higher order follows the flow more accurately: its error falls as step^order", right, len(expected), slopes),
        ("explicit multistep schemes lower the largest stable learning rate", lower, len(MULTISTEP), found),
    )
    return [
        observed(
            Claim(text, "theory", "ours", Side(EULER, {}), rivals, LOSS, "method"),
            all(met) if len(met) == wanted else None,
            ", ".join(seen) or "not measured",
        )
        for text, met, wanted, seen in said
    ]


def _theory(measured: dict[str, Any]) -> Sheet:
    """Order and stability limit: theory beside what was measured."""
    known = {"order": _published("order"), "stability limit": _published("stability_limit")}
    ours = {"order": _orders(measured), "stability limit": _by_scheme(measured, "limits")}
    columns = [Column(("scheme",)), *(Column((what, whose), "right") for what in known for whose in ("theory", "ours"))]
    rows, records = [], []
    for scheme in known["stability limit"]:
        line = [Text(scheme)]
        for what, places in (("order", 2), ("stability limit", 3)):
            theory, mine = known[what].get(scheme, math.nan), ours[what].get(scheme, math.nan)
            line += [
                Text("" if math.isnan(theory) else f"{theory:g}"),
                Text("" if math.isnan(mine) else f"{mine:.{places}f}"),
            ]
            records.append({"scheme": scheme, "what": what, "theory": theory, "ours": mine})
        rows.append(line)
    note = (
        "theory: our own calculation, not the paper's. Ours: measured on the optimizers; the order is the slope of the "
        "distance from the exact flow at time 1, the limit the largest learning rate x curvature that converges. "
        "Nothing in it is drawn, so there is no spread to count the difference in"
    )
    return Sheet("Order of accuracy and stability limit", columns, rows, [note], records)


def _grid(study: Study) -> Sheet:
    """The loss at equal epochs at every learning rate, by shares of the scheme's own limit."""
    columns = [Column(("scheme",)), *(Column((share_text(share),), "right") for share in study.rates)]
    columns.append(Column(("chosen",)))
    rows, records = [], []
    for scheme in study.methods:
        line = [Text(scheme)]
        for share in study.rates:
            runs = judged(study.frame).where(scheme=scheme, share=share).runs
            lost = sum(run.state is not State.DONE for run in runs)
            loss = study.final.get(scheme, {}).get(share, math.inf)
            shown = number(loss, decimals(math.nan, loss) - 1) if loss < 1e4 else exponent(f"{loss:.0e}")
            shown = "–" if math.isinf(loss) else shown
            bold = study.chosen["epochs"].get(scheme) == share
            line.append(Text(shown, bold, f"† {lost} lost" if lost else "") if runs else Text(""))
            if runs:
                records.append({"problem": study.problem, "scheme": scheme, "share": share, "loss": loss, "lost": lost})
        chosen = [share_text(own[scheme]) if scheme in own else "–" for own in study.chosen.values()]
        rows.append([*line, Text(", ".join(chosen if len(set(chosen)) > 1 else chosen[:1]))])
    curvatures = ", ".join(f"{curvature:g}" for curvature in study.frame.values("curvature"))
    note = (
        "geometric mean over the judged seeds of the train loss at equal epochs; columns: learning rate in shares of "
        f"the scheme's stability limit over the curvature (here {curvatures}; 1 is nominal); chosen, on the tuning "
        "seeds: for equal epochs (bold), gradients and time, once where they agree; †: diverged or not done"
    )
    return Sheet(f"{study.problem}: each scheme over its learning rates", columns, rows, [note], records)


def _epoch_times(studies: Sequence[Study]) -> Sheet:
    """Training time of an epoch, and in epochs of SGD; whatever the learning rate, it costs the same."""
    timed = [study for study in studies if study.has(TIME)]
    columns = [Column(("scheme",))]
    columns += [Column((study.problem, what), "right") for study in timed for what in ("ms", "x SGD's")]
    lines: dict[str, list[Text]] = {scheme: [Text(scheme)] for study in timed for scheme in study.methods}
    records = []
    for study in timed:
        epochs = budgets(study.done, "epochs")
        times: dict[str, list[float]] = {}
        for run, seconds in zip(study.done.runs, TIME.measure(study.done).values, strict=True):
            times.setdefault(run.value("scheme"), []).append(1e3 * float(seconds) / epochs[run.run_id])
        quartiles = {scheme: np.percentile(own, [25, 50, 75]).tolist() for scheme, own in times.items()}
        for scheme, line in lines.items():
            low, middle, high = quartiles.get(scheme, [math.nan] * 3)
            ratio = middle / quartiles[EULER][1] if EULER in quartiles else math.nan
            places = decimals(high - low, middle)
            detail = f"[{number(low, places)}, {number(high, places)}]"
            line += [Text(number(middle, places), detail=detail if scheme in times else ""), Text(number(ratio, 2))]
            records.append({"problem": study.problem, "scheme": scheme, "ms": middle, "ratio": ratio})
    notes = ["median and quartiles over every run that is done, at all learning rates and seeds; ratio of medians"]
    return Sheet("Training time of an epoch", columns, list(lines.values()), notes, records, "no run is done yet")


@cache
def _published(metric: str) -> dict[str, float]:
    """Theory's values by scheme."""
    return {row.method: row.value for row in published("numerical_sgd") if row.metric == metric}


def _by_scheme(measured: dict[str, Any], what: str) -> dict[str, Any]:
    return {SCHEMES[name]: own for name, own in measured.get(what, {}).items() if name in SCHEMES}


def _errors(measured: dict[str, Any]) -> dict[str, list[float]]:
    """Of the schemes that have an order: momentum follows another flow."""
    return {scheme: own for scheme, own in _by_scheme(measured, "errors").items() if scheme in _published("order")}


def _orders(measured: dict[str, Any]) -> dict[str, float]:
    lengths = [1 / n for n in measured.get("steps", [])]
    return {scheme: slope(lengths, own) for scheme, own in _errors(measured).items()}


def _short(scheme: str) -> str:
    return scheme.removesuffix(" (SGD)").removesuffix(" (RK2)")
