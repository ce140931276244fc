"""docs/per-sample.md lists every case of the table with how it is measured.

`python -m batchlab.tests.moments.test_per_sample_page` writes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from batchlab.tests.moments.layer_table import LAYERS
from batchlab.tests.moments.table_habits import HABITS
from batchlab.tests.moments.table_models import Case
from batchlab.tests.moments.table_sequences import SEQUENCES
from batchlab.tests.moments.table_types import TYPES
from batchlab.tests.moments.table_uses import USES

PAGE = Path(__file__).parents[2] / "docs" / "per-sample.md"
BEGIN = "## The table\n"
TABLES: dict[str, Mapping[str, Case]] = {
    "Layers of torch.nn": LAYERS,
    "Recurrent layers, attention, transformers": SEQUENCES,
    "What models do with layers and parameters": USES,
    "State, hooks, randomness, writing in place": HABITS,
    "Types and inputs": TYPES,
}
WAYS = ["one pass", "vmap", "loop", "refused"]


def table() -> str:
    lines = [
        BEGIN,
        f"Each of the {sum(map(len, TABLES.values()))} rows is a test (`tests/moments`): three steps, a step in",
        "micro-batches of 3, 1 and the rest with statistics by coordinate, and the state that the model is left in,",
        "against a backward pass for every sample alone in float64. A row is named by its slowest layer.",
        "",
    ]
    for title, cases in TABLES.items():
        lines += [f"### {title}", "", "| how | which |", "| --- | --- |"]
        for way in WAYS:
            names = [name.replace("|", "\\|") for name, case in cases.items() if case.way == way]
            if names:
                lines.append(f"| {way} | {'; '.join(names)} |")
        lines.append("")
    short = {name: case.lacks for cases in TABLES.values() for name, case in cases.items() if case.lacks}
    lines += ["### What falls short", "", *(f"- {name}: {why}" for name, why in short.items())]
    lines += [
        "- sorting or mixing that begins between two batches that are judged: an error at the second of them, which",
        "  names the batches before it; if it has ended by then, it is not seen",
        "- a state with a row per sample that is carried over, a mask set from outside: refused when it shows",
        "",
    ]
    return "\n".join(lines)


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page[page.index(BEGIN) :] == table(), "write it anew: python -m batchlab.tests.moments.test_per_sample_page"


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(head[: head.index(BEGIN)] + table(), encoding="utf-8")
