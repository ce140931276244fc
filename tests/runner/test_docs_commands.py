"""Commands that pages show and no page's own test runs: as they stand, but for how much is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks

SMALL = " model=mlp train.epochs=1"
CASES = {
    "finite-sum.md": (
        0,
        "",
        {"dataset=a9a": "dataset=breast_cancer", r"size=180": "size=20", r"epochs=100": "epochs=6", "1e-8": "1e-1"},
    ),
    "identity.md": (0, f"batchlab sweep optimizer=shb seed=0,3{SMALL}", {"optimizer=mine": "optimizer=shb"}),
    "measures.md validation": (0, "", {r"^(batchlab sweep.*)$": rf"\1{SMALL}"}),
    "measures.md subset": (1, "", {r"dataset=cifar10": "dataset=digits", r"10000": "400", r"$": " train.epochs=1"}),
    "measures.md correct": (2, "", {r"^(batchlab sweep.*)$": rf"\1{SMALL}"}),
    "papers/adadagrad.md": (0, "", {}),
    "papers/dasvrda.md": (0, "", {}),
    "papers/numerical_sgd.md": (0, "", {}),
    "papers/sgdm_schedules.md": (0, "", {}),
    "papers/vrgd.md": (0, "", {}),
    "performance.md status": (0, f"batchlab sweep{SMALL} --name NAME", {}),
    "performance.md profile": (1, "", {}),
    "performance.md fuse": (2, "", {r"(?<=range\(0,)16": "3"}),
    "server.md compare": (0, "", {"cifar10": "digits", "resnet18": "mlp", "epochs=30": "epochs=1"}),
    "server.md look": (1, f"batchlab sweep{SMALL} --name five", {}),
    "vrgd.md": (0, "", {r"^(batchlab sweep.*)$": rf"\1{SMALL}"}),
}
"""Page -> which of its blocks, what comes before it, and what is written otherwise."""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_commands_of_a_page_run(case: str, tmp_path: Path) -> None:
    place, before, otherwise = CASES[case]
    script = re.sub(r" *\\\n\s*", " ", blocks((DOCS / case.split()[0]).read_text(), "bash")[place]).strip()
    commands = len(re.findall(r"^batchlab ", script, re.MULTILINE))
    for pattern, instead in otherwise.items():
        script, times = re.subn(pattern, instead, script, flags=re.MULTILINE)
        assert times, f"{pattern} is not on the page"
    assert len(re.findall(r"^batchlab ", script, re.MULTILINE)) == commands
    said = bash(f"{before}\n{script}", tmp_path, BATCHLAB_RUNS=str(tmp_path / "runs"))
    assert said.strip()
    assert "failed" not in said
