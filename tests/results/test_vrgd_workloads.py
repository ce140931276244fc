"""VRGD's text and clicks on runs whose right verdicts are known."""

from __future__ import annotations

import numpy as np
import pytest
from vrgd_book import TUNING, Book

from batchlab.results.papers.vrgd_workloads import WORKLOADS

SIZES = (32, 256, 2048)


def workload(book: Book, part: str, pair: str, gain: dict[int, float], *, control: float = 0.0, seeds: int = 5) -> None:
    """Runs at three learning rates, the middle the best; VR's AUC, or minus log perplexity, is `gain[batch]` more.

    The control lacks `control` of VR's AUC.
    """
    draw = np.random.default_rng(0)
    for batch in SIZES:
        for step, lr in enumerate((0.1, 0.3, 0.9)):
            for seed in (*TUNING, *range(seeds)):
                for variant in ("base", "VR", *(("control",) if control else ())):
                    own = 0.0 if variant == "base" else gain[batch] - (control if variant == "control" else 0)
                    level = own - 0.05 * abs(step - 1) + 0.001 * draw.normal()
                    column = "test_auc" if part == "clicks" else "test_perplexity"
                    value = 0.7 + level if part == "clicks" else 10 * np.exp(-level)
                    optimizer = {"name": pair if variant == "base" else f"vr_{pair}", "lr": lr}
                    if variant != "base":
                        optimizer["control"] = variant == "control"
                    labels = {"part": part, "pair": pair, "tuning": seed in TUNING}
                    rows = [{"samples": 100, "steps": 1, "epoch": 1.0, column: float(value)}]
                    book.run(labels, rows, optimizer=optimizer, batch=batch, dataset=part, seed=seed)
    for run in book.runs:  # what the measures declare
        run.info["quantities"] = {
            "test_auc": {"better": "up", "unit": "%", "scale": 100},
            "test_perplexity": {"better": "down", "log": True},
        }


def verdicts(book: Book) -> dict[str, str]:
    return {item.claim.text: item.verdict.value for item in book.made().claims if item.group in ("text", "clicks")}


@pytest.mark.parametrize("better", [True, False])
def test_text(better: bool) -> None:
    book, sign = Book(), 1 if better else -1
    for pair in ("adam", "lamb"):
        workload(book, "text", pair, {32: 0.01 * sign, 256: 0.02 * sign, 2048: 0.1 * sign})
    wanted = "holds" if better else "does not hold"
    assert verdicts(book) == {
        "VR helps a small transformer more the larger the batch": wanted,
        "VR-Adam beats Adam on a small transformer (over all batch sizes)": wanted,
        "VR-LAMB beats LAMB on a small transformer (over all batch sizes)": wanted,
    }
    lead = next(table for table in book.made().sheets() if "VR's lead" in table.title and "Text" in table.title)
    cells = [cell.text for cell in lead.rows[0]]
    assert any(cell.lstrip("*").startswith("1.1" if better else "0.90") for cell in cells), cells


def test_clicks_and_their_control() -> None:
    book = Book()
    workload(book, "clicks", "sgd", {32: 0.0, 256: 0.01, 2048: 0.02}, control=0.04)
    assert verdicts(book) == {
        "VR helps a small DLRM more the larger the batch": "holds",
        "VR-SGD beats SGD on a small DLRM (over all batch sizes)": "holds",
        "VR-SGD is more than 1 point away from its control on a small DLRM, at some batch": "holds",
    }
    sheets = {sheet.title: sheet for sheet in book.made().sheets()}
    assert "Clicks (a small DLRM): learning rates, chosen on seeds 101 and 102" in sheets
    rates = sheets["Clicks (a small DLRM): learning rates, chosen on seeds 101 and 102"]
    assert {cell.text for row in rates.rows for cell in row[2:]} == {"0.3"}
    (note,) = [note for note in book.made().notes if note.startswith("clicks:")]
    assert "planted" in note


def test_nothing_is_claimed_of_what_was_not_run() -> None:
    book = Book()
    workload(book, "clicks", "sgd", dict.fromkeys(SIZES, 0.0))
    assert all("transformer" not in text for text in verdicts(book))
    assert [w.part for w in WORKLOADS] == ["text", "clicks"]
