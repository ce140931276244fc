"""The tables of `crossing`: accuracies, costs of the targets, rankings, pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from batchlab.results.compare.choice import MARKS, Tuning, seeds_text
from batchlab.results.compare.outcomes import Fate
from batchlab.results.compare.stats import Summary, summarize
from batchlab.results.papers.crossing_costs import CLOCKED, FARTHEST, Costs
from batchlab.results.papers.crossing_readings import ACCURACY, PLURALS, Standing
from batchlab.results.show.contest_sheet import pairs_sheet
from batchlab.results.show.sheet import Column, Sheet, Text, number, uncertain
from batchlab.results.store.run import State
from batchlab.results.words import count, listing

PLACES = 2
"""Of accuracies in %."""
NOTHING = "no run that is judged is there yet"


def accuracy_sheet(choice: Tuning, costs: Costs) -> Sheet:
    """Where the contenders end on each problem, at which learning rate, and how far behind the best.

    Args:
        choice: The learning rates, and the judged runs at them.
        costs: Of the same runs.
    """
    problems = list(costs.targets)
    columns = [Column(("contender",)), *(Column((problem,), "right") for problem in problems)]
    columns.append(Column(("behind",), "right"))
    rows, records = [], []
    for name in costs.contenders:
        line, parts = [Text(name)], []
        for problem in problems:
            part = choice.frame.where(contender=name, problem=problem)
            done = part.select(lambda run: run.state is State.DONE)
            values = ACCURACY.measure(done).values if done.runs and ACCURACY.name in done.names else np.empty(0)
            summary = summarize([100 * v for v in values if math.isfinite(v)])
            lost = f"† {len(part.runs) - summary.n}" if len(part.runs) > summary.n else ""
            rate = f"lr {choice.text((problem, name))}"
            line.append(Text(_mean(summary), detail=" ".join(filter(None, [rate, lost]))))
            parts.append({"problem": problem, "lr": choice.chosen.get((problem, name)), **_numbers(summary)})
        middle, low, high = (100 * value for value in costs.behind.get(name, (math.nan,) * 3))
        interval = "" if math.isnan(low) else f"[{number(low, PLACES)}, {number(high, PLACES)}]"
        line.append(Text(number(middle, PLACES), detail=interval))
        rows.append(line)
        behind = {"behind": middle, "behind_low": low, "behind_high": high}
        records += [{"contender": name, **part, **behind} for part in parts]
    seeds = f" on {seeds_text(choice.seeds)}, not judged" if choice.seeds else ""
    notes = [
        f"mean ± std over seeds when all samples are spent; beneath the learning rate, chosen by {choice.metric}{seeds}"
        f". {MARKS}; other daggers: runs that are not done",
        "behind: points behind the best mean of a problem, the interquartile mean over the runs of all, with a 95 % "
        "interval (bootstrap within problems)",
    ]
    return Sheet("Test accuracy [%] of each contender, by problem", columns, rows, notes, records, NOTHING)


def cost_sheet(costs: Costs) -> Sheet:
    """Samples to each problem's target, and how near the least cost a contender is, by four clocks."""
    problems = list(costs.targets)
    clocks = [clock for clock in costs.clocks if clock != "gradients" or not costs.as_samples]
    columns = [Column(("contender",)), Column(("reached",), "right")]
    columns += [Column((problem,), "right") for problem in problems]
    columns += [Column(("score", CLOCKED[clock]), "right") for clock in clocks]
    scores = {clock: costs.scores(clock) for clock in clocks}
    rows, records = [], []
    for name in costs.contenders:
        reached, runs = costs.reached(name)
        cells = [_cost(costs, name, problem) for problem in problems]
        own = {clock: found.get(name, math.nan) for clock, found in scores.items()}
        tops = {clock: max(found.values(), default=math.nan) for clock, found in scores.items()}
        for clock, score in own.items():
            timed = clock == "seconds" and bool(costs.untimely)
            cells.append(Text(number(score, 2), score == tops[clock] > 0 and not timed, tone="dim" if timed else ""))
        rows.append([Text(name), Text(f"{reached} of {runs}"), *cells])
        for problem in problems:
            spent = {f"{clock}_to_target": costs.mean(clock, name, problem) for clock in costs.clocks}
            scored = {f"score_{clock}": score for clock, score in own.items()}
            records.append({"contender": name, "problem": problem, "target": costs.targets[problem], **spent, **scored})
    named = listing([f"{problem} {100 * target:g} %" for problem, target in costs.targets.items()])
    notes = [
        f"target: a test accuracy that the recipe names ({named}), known to an evaluation. Geometric mean over "
        "seeds; ≥: some run never came to it and counts as its whole budget",
        f"score: of the {count(len(costs.instances), 'problem and seed', 'problems and seeds')}, the share on which a "
        f"contender's cost is within r of the least, averaged over r from 1 to {FARTHEST:g} (the mean height of its "
        "performance profile; a target never reached is within none). It describes these runs: no test is made of it",
        *(["component gradients: as many as samples, of all of these"] if costs.as_samples else []),
        *(f"time: {reason}" for reason in costs.untimely),
    ]
    return Sheet("The cost of the target: samples by problem, and scores", columns, rows, notes, records, NOTHING)


def ranking_sheet(standings: Sequence[Standing]) -> Sheet:
    """Contenders of one kind in the order of their verdicts when all samples are spent, with groups at each budget.

    Args:
        standings: Of one kind.
    """
    first = standings[0]
    columns = [Column((first.kind,)), *(Column((standing.reading.name,), "right") for standing in standings)]
    rows, records = [], []
    for name in first.order:
        line = [Text(name)]
        for one in standings:
            values, lost = one.values(name), one.lost(name)
            summary = summarize([100 * value for value in values])
            best = len(one.order) > 1 and all(one.beats(name, other) for other in one.order if other != name)
            compared = any(item.tested for item in one.pairs)
            group = one.groups[name] if values and compared else ""
            shown = [ranges(group), f"† {lost} lost" if lost else ""]
            line.append(Text(_mean(summary), best, " ".join(filter(None, shown))))
            budget = {"budget": one.reading.name, "group": group, "lost": lost}
            records.append({first.kind: name, **budget, **_numbers(summary)})
        rows.append(line)
    over = {
        "contender": "the problems",
        "optimizer": "problems and batch schedules",
        "batches": "problems and optimizers",
    }
    sizes = sorted({len(standing.values(name)) for standing in standings for name in standing.names})
    n = f"n {sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "") if sizes else "n 0"
    notes = [
        f"mean test accuracy over {over[first.kind]} ± std over seeds ({n}), in the order of the verdicts at the first "
        "budget, and where they leave it open of the mean. Beneath are groups: who shares a letter is not told apart. "
        "Every pair is a claim, and of equal contenders any two are told apart with a chance of about 5 % at each "
        "budget",
    ]
    for standing in standings:
        reasons = dict.fromkeys(item.reason for item in standing.pairs if item.reason and item.comparisons)
        notes += [f"{standing.reading.name}: {reason}" for reason in reasons]
    title = f"{PLURALS[first.kind]} in order, test accuracy [%]".capitalize()
    return Sheet(title, columns, rows, notes, records, NOTHING)


def pair_sheets(standings: Sequence[Standing]) -> list[Sheet]:
    """The pairs of optimizers and of batch schedules when all samples are spent."""
    chosen = [one for one in standings if one.kind != "contender" and one.reading.share == 1.0 and one.names]
    return [
        pairs_sheet(one, ACCURACY, f"Pairs of {PLURALS[one.kind]}, all samples; mean test accuracy") for one in chosen
    ]


def ranges(letters: str) -> str:
    """Three letters and more in a row by their ends.

    >>> ranges("abcd"), ranges("bdefglm"), ranges("ab")
    ('a–d', 'bd–glm', 'ab')
    """
    rows: list[str] = []
    for letter in letters:
        if rows and ord(letter) == ord(rows[-1][-1]) + 1:
            rows[-1] += letter
        else:
            rows.append(letter)
    return "".join(row if len(row) < 3 else f"{row[0]}–{row[-1]}" for row in rows)


def _cost(costs: Costs, name: str, problem: str) -> Text:
    own = costs.of("samples", name, problem) if "samples" in costs.clocks else []
    mean = costs.mean("samples", name, problem) if own else math.nan
    bound = "≥ " if any(outcome.fate is not Fate.MEASURED for outcome in own) else ""
    return Text("–" if math.isnan(mean) else f"{bound}{mean:,.0f}")


def _mean(summary: Summary) -> str:
    return uncertain(summary.mean, summary.std, PLACES) if summary.n else "–"


def _numbers(summary: Summary) -> dict[str, Any]:
    return {"n": summary.n, "mean": summary.mean, "std": summary.std, "ci_low": summary.low, "ci_high": summary.high}
