"""No two claims of a recipe read alike: a sentence with two verdicts says nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from batchlab.results.papers.catalogue import build, known_papers
from batchlab.results.report.glance import glance
from batchlab.results.store.runs import RunStore
from batchlab.runner.looks import frame_of
from batchlab.runner.plan.reproduce import plan
from batchlab.runner.sweep import freeze


@pytest.mark.slow
@pytest.mark.parametrize("paper", known_papers())
def test_before_anything_is_trained_every_claim_is_called_otherwise(paper: str, tmp_path: Path) -> None:
    planned = plan(paper, "laptop")
    store = RunStore(tmp_path).prepare()
    freeze(store, planned.sweep, planned.plans)
    made = build(paper, frame_of(store, planned.sweep, {one.run_id: one for one in planned.plans}))
    called = Counter((item.claim.title, item.claim.at) for item in made.claims)
    assert [title for title, n in called.items() if n > 1] == []
    if not made.first().verdicts:  # whose contenders are those that were chosen: before that there are none
        return
    assert called
    found = glance(made.title, "s", "s-claim", made.sheets()[-1], made.claims)
    lines = [(claim.text, line.at) for claim in (*found.claims, *found.folded) for line in claim.lines]
    assert len(lines) == len({*lines}) == len(called)
