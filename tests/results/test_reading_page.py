"""What docs/api/reading.md shows runs as it stands, and says what the rows say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy import stats

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api" / "reading.md").read_text()
LAST = {"shb": [0.5, 0.7, 0.9], "nshb": [0.4, 0.7, 0.7]}


def test_the_page(lab, curve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for optimizer, values in LAST.items():
        for seed, value in enumerate(values):
            rows = [row | {"test_loss": 2.0 * value} for row in curve([0.1, value])]
            lab.run(f"{optimizer}{seed}", rows, optimizer=optimizer, seed=seed)
    monkeypatch.chdir(lab.store.root.parent)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(block, {})
    said = capsys.readouterr().out
    assert re.search(r"^\| shb +\| \*\*70 ± 20\*\*", said, re.MULTILINE), said
    assert re.search(r"^nshb 3 1\.2", said, re.MULTILINE)
    assert re.search(r"^shb 3 1\.4", said, re.MULTILINE)
    assert f"{stats.ttest_rel(LAST['shb'], LAST['nshb']).pvalue:.10f}"[:-1] in said
