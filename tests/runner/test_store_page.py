"""What docs/store.md shows runs as it stands, and its numbers are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import DOCS, blocks
from runs import frozen, trained

from batchlab.results.store import owner
from batchlab.results.store.record import ASK_SECONDS

PAGE = (DOCS / "store.md").read_text()


def test_a_copied_file_is_checked_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = frozen(tmp_path)
    assert trained(run, config) == "done"
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "metrics.parquet"
    copy.write_bytes(run.metrics.read_bytes())
    monkeypatch.chdir(copy.parent)
    (block,) = blocks(PAGE, "python")
    exec(block, {})
    assert capsys.readouterr().out == "2 rows as they were written\n"
    copy.write_bytes(copy.read_bytes().replace(b"optimizer", b"optimizes", 1))
    with pytest.raises(ValueError, match="is not what was written"):
        exec(block, {})


def test_its_numbers_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"keeps fresh every {owner.HEARTBEAT:.0f} s" in text
    assert (
        f"a sign of life for {owner.LEASE:.0f} s, not at all where the last one is older than {owner.LONG:.0f} s"
        in text
    )
    assert ASK_SECONDS == 1
    assert "every second while it writes rows" in text
