"""What it would take to decide a claim: seeds at the measured spread, and their minutes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from batchlab.results.compare.claims import Judged, deciding
from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.power import needed, needed_one_sided
from batchlab.results.compare.stats import LEVEL, t_quantile


def outlook(judged: Judged, smallest: float | None = None) -> tuple[int | None, float]:
    """How many seeds would decide a claim at its level, with a chance of 80 %, were its effect what it looks like.

    Args:
        judged: Measured.
        smallest: The smallest effect of interest, on the scale of the test: what is less can be decided as that.

    Returns:
        The seeds; None where the claim has no p-value, ranks were compared or there is no spread to go by, as
        where both sides are the same in every seed. And the minutes that those which are missing would take here, NaN
        where that is not known.
    """
    claim = judged.claim
    test = deciding(claim, judged.comparisons)[0].test if judged.tested else None
    if test is not None and test.ranks and test.t != 0:
        n = 1 + math.ceil(-math.log2(judged.level))  # so many seeds that all go one way are needed for such a p
        return (n, (n - judged.seeds) * minutes_a_seed(judged.runs)) if n > judged.seeds else (None, math.nan)
    if test is None or math.isnan(test.df):
        return None, math.nan
    spread = (test.high - test.difference) * math.sqrt(test.n) / t_quantile(test.df, LEVEL)
    if not spread > 0:
        return None, math.nan
    size = abs(test.difference) if claim.distance else test.difference
    ways = [needed(abs(size - claim.edge) / spread, judged.level)]
    if smallest is not None and abs(test.difference) < smallest:
        ways.append(needed_one_sided((smallest - abs(test.difference)) / spread, judged.level))
    n = max(min(ways), judged.seeds + 1)  # not decided so far
    return n, (n - judged.seeds) * minutes_a_seed(judged.runs)


def minutes_a_seed(runs: Sequence[RunRow]) -> float:
    """Minutes that one more seed of these runs takes: their times, as many at once as there were.

    NaN where no run says when it started and ended.
    """
    spans, seeds = [], set()
    for run in {run.run_id: run for run in runs}.values():
        try:
            start, stop = (datetime.fromisoformat(run.info[key]).timestamp() for key in ("started", "ended"))
        except (KeyError, TypeError, ValueError):
            continue
        spans.append((start, stop))
        seeds.add(run.value("seed"))
    busy, end = 0.0, -math.inf  # the length of their union: what ran beside another took no time of its own
    for start, stop in sorted(spans):
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return busy / len(seeds) / 60 if seeds else math.nan
