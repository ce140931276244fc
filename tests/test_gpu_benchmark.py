"""benchmarks/gpu.py runs once on a borrowed card: every line of it is tried on the CPU first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from batchlab.results.store.unpacked import opened

ROOT = Path(__file__).resolve().parent.parent
WANTED = {
    "a": {"images a second, bf16, channels_last, compiled", "bf16 matrix product, 8,192 cubed"},
    "b": {"step of VRSGD", "step of LARS", "step of LAMB", "training step, norm test, per_sample, GroupNorm"},
    "c": {"augmented images a second"},
    "d": {"waits a step, shb"},
    "e": {"same bits: stopped and resumed", "two ranks: distance of parameters after 6 steps"},
    "f": {"sgdm_schedules-gpu: runs done, of 14", "vrgd-gpu: runs done, of 6", "archive of runs"},
    "g": {"step alone, float32", "times as fast together, float32", "times as fast together, bf16, batch 32"},
}


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute of one core, on one that is shared by many
def test_smoke_has_the_rows_of_every_part(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--smoke", "--minutes", 18, "--out", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1140, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = pd.read_parquet(tmp_path / "gpu.parquet")
    said = done.stdout[-6000:]
    assert not rows[rows["name"].str.startswith(("failed", "left out"))].size, said
    for part, names in WANTED.items():
        assert names <= set(rows.loc[rows["part"] == part, "name"]), said
    figures = rows.set_index("name")["value"]
    assert (rows.loc[rows["name"] == "seconds of this part", "note"] == "").all(), said
    assert figures["same bits: stopped and resumed"] == 1
    assert figures["two ranks: distance of parameters after 6 steps"] < 1e-4
    assert figures["waits a step, shb"] == 0
    assert figures["sgdm_schedules-gpu: runs done, of 14"] == 14
    assert figures["vrgd-gpu: runs done, of 6"] == 6
    with opened([tmp_path / "runs.tar.xz"]) as store:
        assert {name: len(store.sweep(name).entries) for name in ("sgdm_schedules-gpu", "vrgd-gpu")} == {
            "sgdm_schedules-gpu": 14,
            "vrgd-gpu": 6,
        }
    assert "images a second" in (tmp_path / "table.txt").read_text()
    assert {p.name for p in tmp_path.iterdir()} >= {
        "gpu.parquet", "gpu.log", "runs.tar.xz", "sgdm_schedules.txt", "vrgd.txt",
    }  # fmt: skip
