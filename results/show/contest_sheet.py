"""A contest as sheets: the contenders in order, and the verdict on every pair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from batchlab.results.compare.caveats import contended, selection_note, timed, together, together_note
from batchlab.results.compare.claims import Verdict
from batchlab.results.compare.contest import LABEL, TIES, Result, turned
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.ranking import Ranking
from batchlab.results.compare.stats import Summary, summarize
from batchlab.results.show.answer import chosen_value, places_of
from batchlab.results.show.claims_sheet import (
    P,
    claims_sheet,
    pair_text,
    power_note,
    rule_notes,
    verdict_detail,
    verdict_text,
)
from batchlab.results.show.effects import effect, heading
from batchlab.results.show.sheet import Column, Sheet, Text, decimals, number, p_value, uncertain
from batchlab.results.words import count, listing, written


def contest_sheets(result: Result) -> list[Sheet]:
    """The contenders in order with what each cost, and the verdicts on all pairs."""
    return [_order(result), pairs_sheet(result, result.metric, "each pair, and what was decided")]


def _order(result: Result) -> Sheet:
    metric, keys = result.metric, result.contest.keys
    costs = _costs(result)
    columns = [Column((LABEL,)), *([Column((", ".join(keys),), "right")] if keys else [])]
    columns += [Column((metric.title,), "right"), Column(("n",), "right"), Column(("group",))]
    columns += [Column((title,), "right") for title in costs]
    rows, records = [], []
    places, share = places_of(result), metric.quantity.share
    for i, name in enumerate(result.order):
        values = result.values(name, metric)
        summary = _summary(result, [metric.quantity.scale * value for value in values])
        lost = f"† {count(result.lost(name), 'seed')} lost" if result.lost(name) else ""
        low, high = (max(summary.low, 0.0), min(summary.high, 100.0)) if share else (summary.low, summary.high)
        interval = "" if math.isnan(summary.low) else f"[{number(low, places)}, {number(high, places)}]"
        line = [Text(name, i == 0 and any(result.beats(name, other) for other in result.order[1:]))]
        line += [Text(chosen_value(result, name))] if keys else []
        shown = uncertain(summary.mean, summary.std, places) if values else "–"
        line += [Text(shown, detail=" ".join(filter(None, [interval, lost]))), Text(str(summary.n))]
        line.append(Text(result.groups[name]))
        for cost in costs.values():
            spent = [cost.quantity.scale * value for value in result.values(name, cost)]
            mean = summarize(spent).mean if spent else math.nan
            line.append(Text(number(mean, decimals(math.nan, mean) - 1)))
        rows.append(line)
        records.append(_record(result, name, costs))
    notes = [
        "in order of the verdicts below, and where they leave it open of the mean over the seeds that all have; mean "
        "± std over a contender's own seeds, with its own 95 % interval. Who shares a group is not told apart"
    ]
    notes += [text for text in (_tuning_note(result),) if text]
    if costs:
        level = (result.reached or 0.0) * metric.quantity.scale
        unit = f" {metric.quantity.unit}" if metric.quantity.unit else ""
        notes.append(
            f"cost: until a run first had {metric.label} {number(level, decimals(math.nan, level))}{unit}, which every "
            "judged run that ended well came to; the level was picked after the runs, so that no test is made of it"
        )
    if busy := contended(result.best.runs):
        notes.append(f"seconds were measured on a busy machine (wall over processor time up to {busy:.1f})")
    if costs or timed(metric):
        notes += together_note(result.best.runs)
    if budgets := result.budgets:
        notes.append(f"unequal budgets: {listing([f'{name} {n:g} epochs' for name, n in budgets.items()])}")
    notes += selection_note([metric])
    return Sheet(f"{count(len(result.order), 'contender')} by {metric.title}", columns, rows, notes, records)


def pairs_sheet(ranking: Ranking, metric: Metric, title: str) -> Sheet:
    """The verdict on every pair, from the side of whoever stands higher in the order.

    Args:
        ranking: The contenders and their pairs.
        metric: What they are compared in, with what the runs declare of it.
        title: Of the sheet.
    """
    what = heading("ratio" if metric.quantity.log else "difference", ranking.pairs)
    columns = [Column(("pair",)), Column((what,), "right"), Column((P,), "right"), Column(("n",), "right")]
    columns.append(Column(("verdict",)))
    rows = []
    for a, b in combinations(ranking.order, 2):
        item = ranking.between(a, b)
        if item is None:
            continue
        item = item if item.claim.better.label == a else turned(item)
        better = a if ranking.beats(a, b) else b if ranking.beats(b, a) else ""
        rows.append(
            [
                Text(pair_text(item)),
                Text("\n".join(effect(item, c) for c in item.comparisons)),
                Text("" if math.isnan(item.p_holm) else p_value(item.p_holm).removeprefix("p ")),
                Text(str(item.seeds)),
                Text(
                    f"{better} is better" if better else verdict_text(item),
                    item.verdict is not Verdict.UNDECIDED,
                    verdict_detail(item),
                ),
            ]
        )
    notes = [*rule_notes(ranking.pairs), *power_note(ranking.pairs)]
    return Sheet(title, columns, rows, notes, claims_sheet(ranking.pairs).records)


def _summary(result: Result, values: Sequence[float]) -> Summary:
    """Of a contender's values; without a spread where they are times that runs share."""
    found = summarize(values)
    if timed(result.metric) and together(result.best.runs):
        return replace(found, std=math.nan, low=math.nan, high=math.nan)
    return found


def _costs(result: Result) -> dict[str, Metric]:
    if result.reached is None:
        return {}
    sign = ">=" if result.metric.quantity.better == "up" else "<="
    clocks = {"epochs to that": "epochs", "seconds": "seconds"}
    return {title: Metric(result.metric.name, clock, sign, result.reached) for title, clock in clocks.items()}


def _tuning_note(result: Result) -> str:
    choice = result.choice
    if choice is None:
        return "nothing was tuned: each at the values of its configuration"
    if not choice.offered:
        return "no tuning run is over yet"
    grids = {cell[0]: _texts(own) for cell, own in choice.offered.items()}
    alike = len({*grids.values()}) == 1
    known = len(result.contest.keys) == 1  # several keys together have no order
    edges = [cell[0] for cell in choice.chosen if known and len(choice.offered[cell]) > 2 and choice.edge(cell)]
    edge = f"; {listing(edges)} at an end of the grid: a better one may lie beyond" if edges else ""
    trials = next(iter(grids.values())) if alike else "; ".join(f"{name}: {texts}" for name, texts in grids.items())
    chose = f"each contender's {choice.key} was chosen from {'' if alike else 'as many values ('}{trials}"
    chose += "" if alike else ")"
    said = f"{chose} by {choice.metric} on {count(len(choice.seeds), 'seed')} that judge nothing"
    said += f" (of equals by {TIES})" if choice.metric.name == "validation_accuracy" else ""
    stuck = (
        f"; of {listing([cell[0] for cell in choice.stuck])} no value finished on every one of them"
        if choice.stuck
        else ""
    )
    return f"{said}{edge}{stuck}"


def _texts(values: Iterable[Any]) -> str:
    return ", ".join(map(written, values))


def _record(result: Result, name: str, costs: dict[str, Metric]) -> dict[str, Any]:
    summary = _summary(result, result.values(name, result.metric))
    spent = {str(cost): summarize(result.values(name, cost)).mean for cost in costs.values()}
    return {
        LABEL: name,
        "chosen": chosen_value(result, name),
        "metric": str(result.metric),
        "mean": summary.mean,
        "std": summary.std,
        "ci_low": summary.low,
        "ci_high": summary.high,
        "n": summary.n,
        "lost": result.lost(name),
        "group": result.groups[name],
    } | spent
