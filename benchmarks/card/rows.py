"""Rows of figures: a line of JSON each as they are measured, and Parquet of them all. Torch is not imported."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

COLUMNS = {
    "part": "string",
    "name": "string",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "unit": "string",
    "peer": "string",
    "ratio": "float64",
    "ratio_low": "float64",
    "ratio_high": "float64",
    "n": "int64",
    "note": "string",
    "device": "string",
    "torch": "string",
    "commit": "string",
    "date": "string",
}


def commit() -> str:
    """Of the checkout: BATCHLAB_COMMIT where a copy has no history of its own."""
    if named := os.environ.get("BATCHLAB_COMMIT"):
        return named
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@dataclass
class Rows:
    """Where figures are kept, by all processes of a call.

    Args:
        out: the folder.
        device: on which the figures are measured.
        torch: its version.
    """

    out: Path
    device: str = ""
    torch: str = ""
    commit: str = field(default_factory=commit)

    @property
    def file(self) -> Path:
        """One line of JSON per row."""
        return self.out / "rows.jsonl"

    def clear(self) -> None:
        """Begin anew."""
        self.file.write_text("")

    def add(
        self,
        part: str,
        name: str,
        value: float = math.nan,
        unit: str = "",
        *,
        samples: Sequence[float] = (),
        peer: str = "",
        ratios: Sequence[float] = (),
        note: str = "",
    ) -> None:
        """Write a row, at once and durably, so that whoever is killed later loses none.

        Args:
            part: of the benchmark.
            name: what was measured.
            value: the figure; with `samples` it is their median.
            unit: of the figure.
            samples: repeated measurements.
            peer: what it is compared with.
            ratios: ours to the peer's, in each pair.
            note: what else to know.
        """
        samples = list(samples) or ([] if math.isnan(value) else [value])
        row: dict[str, Any] = {"part": part, "name": name, "unit": unit, "peer": peer, "note": note}
        row |= dict(zip(("value", "low", "high"), spread(samples), strict=True))
        row |= dict(zip(("ratio", "ratio_low", "ratio_high"), spread(ratios), strict=True))
        row |= {"n": len(ratios) or len(samples), "device": self.device, "torch": self.torch, "commit": self.commit}
        row["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        with self.file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        if self.device:  # of a part's process: its log shows what it found
            print("   ", line(row), flush=True)

    def read(self) -> list[dict[str, Any]]:
        """All rows; a line that was cut off is left out."""
        rows = []
        for text in self.file.read_text().splitlines():
            try:
                rows.append(json.loads(text))
            except ValueError:
                continue
        return rows

    def write_parquet(self) -> None:
        """All rows so far, in place of an earlier file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"string": pa.string(), "float64": pa.float64(), "int64": pa.int64()}
        schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        rows = [{name: row.get(name) for name in COLUMNS} for row in self.read()]
        temporary = self.out / "gpu.parquet.tmp"
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary)
        os.replace(temporary, self.out / "gpu.parquet")


def spread(samples: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Median, least and greatest."""
    finite = [s for s in samples if math.isfinite(s)]
    return (statistics.median(finite), min(finite), max(finite)) if finite else (None, None, None)


def number(value: float | None) -> str:
    """With three or four significant digits, and thousands where it is large."""
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def line(row: dict[str, Any]) -> str:
    """A row for the screen."""
    text = f"{row['part']}  {row['name'][:58]:58} {number(row['value']):>10} {row['unit']:10}"
    if row["ratio"] is not None:
        low, high = number(row["ratio_low"]), number(row["ratio_high"])
        text += f" {row['ratio']:7.3f} x {row['peer'][:34]} ({low} to {high}, n={row['n']})"
    elif row["value"] is not None and row["n"] > 1:
        text += f" ({number(row['low'])} to {number(row['high'])}, n={row['n']})"
    return f"{text} {row['note'][:90]}".rstrip()


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All rows, part by part, and what they were measured on."""
    where = next((f"{r['device']}, torch {r['torch']}, commit {r['commit']}" for r in rows if r["device"]), "nowhere")
    kept = sorted(rows, key=lambda row: row["part"])
    return "\n".join(
        [f"\nmedians, (least to greatest); a ratio is ours to the peer's, in pairs. {where}", *map(line, kept)]
    )
