"""`make docs`: the site is built without a warning, and fetches nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = (tmp_path / "site" / "api" / "notebook.html").read_text()
    own = (tmp_path / "site" / "api" / "own.html").read_text()
    for text, id in ((notebook, "batchlab.sweep"), (own, "batchlab.optimizers.needs.Moments.gather")):
        assert f'id="{id}"' in text, "the pages of Python are filled from docstrings"
    assert "so often a run that fails or crashes is started again" in notebook
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    for place in pages:
        text = (tmp_path / "site" / place).read_text()
        fetched = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"(?!data:)([^\"]*)\"", text)
        fetched += re.findall(r"<link rel=\"stylesheet\"[^>]*href=\"([^\"]*)\"", text)
        assert fetched
        assert not [address for address in fetched if re.match(r"(https?:)?//", address)], place
        assert not re.search(r"<code>[^<]*\\(frac|sqrt|mathrm)", text), f"{place}: a formula that could not be drawn"
