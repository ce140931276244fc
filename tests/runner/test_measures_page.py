"""What docs/measures.md shows runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from batchlab.runner.plan.conf.files import axes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "measures.md").read_text()


def test_the_table_lists_what_there_is() -> None:
    listed = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert sorted(listed) == axes()["measure"] == sorted(p.stem for p in (ROOT / "conf" / "measure").glob("*.yaml"))


@pytest.mark.slow
def test_a_macro_f1_of_ones_own(tmp_path: Path) -> None:
    for language in ("python", "yaml"):
        (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
        if language == "python":
            assert len([line for line in block.splitlines()[1:] if line.strip()]) <= 10, "ten lines"
        else:
            assert yaml.safe_load(block)["name"] == "macro_f1"
    (script,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.strip().startswith(("shb", "nshb"))]
    assert "macro F1 [%]" in done.stdout
    assert len(rows) == 2
    assert all(50 < float(re.findall(r"[\d.]+ ±", row)[0].split()[0]) < 100 for row in rows)
