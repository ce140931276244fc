"""Our own runs that come with batchlab: each archive is whole, small, of its sweep, and names no folder."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest

from batchlab.results.papers import recorded
from batchlab.results.papers.catalogue import known_papers, reproduce
from batchlab.results.papers.recorded import archive_of
from batchlab.results.papers.scale import Scale
from batchlab.results.store.differ import check_whole
from batchlab.results.store.run import FINISHED, State
from batchlab.results.store.unpacked import opened

OURS = recorded.recorded()
PLACES = re.compile(rb"[\"' =](?:/(?:home|root|tmp|work|Users|mnt|data)|~)/[\w.-]+")


@pytest.mark.parametrize("sweep", OURS)
def test_it_is_whole_and_is_of_its_sweep(sweep: str) -> None:
    paper, _, scale = sweep.rpartition("-")
    assert paper in known_papers()
    assert scale in [*Scale]
    with opened([archive_of(sweep)]) as store:
        assert store.sweeps() == [sweep]
        runs = [*store.runs()]
        assert runs
        for run in runs:
            assert not check_whole(run)
            state = run.read_state()
            assert state.state is not State.DAMAGED
            if state.state in FINISHED:
                assert {"hardware", "versions", "git"} <= state.info.keys(), "how it came about is said"
        assert reproduce(store, paper, sweep).claims


@pytest.mark.parametrize("sweep", OURS)
def test_it_is_small_and_of_no_place(sweep: str) -> None:
    path = archive_of(sweep)
    assert path.stat().st_size < 3 << 19  # 1.5 MiB: a thousand runs of an hour or less
    assert not PLACES.search(lzma.decompress(path.read_bytes()))


def test_what_is_not_recorded_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="vrgd-desk is not recorded; there is nothing yet"):
        archive_of("vrgd-desk")
    (tmp_path / "vrgd-desk.tar.xz").touch()
    assert recorded.recorded() == ["vrgd-desk"]
    assert archive_of("vrgd-desk") == tmp_path / "vrgd-desk.tar.xz"
