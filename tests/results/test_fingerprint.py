"""Fingerprints: of a file its content counts alone, large files are not read twice, what differs is named."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchlab.results.store import fingerprint
from batchlab.results.store.fingerprint import Contents, Part, as_json, differences, drift, recorded, stale
from batchlab.results.store.run import State


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def digest(path: Path) -> str | None:
    return Contents().digest(path)


@pytest.mark.parametrize("large", [False, True])
def test_content_counts_and_time_does_not(large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "LARGE", 0 if large else 1 << 20)
    monkeypatch.setattr(fingerprint, "SETTLED", -1.0)
    file = tmp_path / "wine.npz"
    file.write_bytes(b"abc")
    before, times = digest(file), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    os.utime(file, (1, 1))
    assert digest(file) == before == hashlib.sha256(b"abc").hexdigest()[:24]
    os.utime(file, ns=times)
    file.write_bytes(b"abd")
    os.utime(file, ns=times)  # the same size, and the time set back
    assert digest(file) not in (None, before)
    file.unlink()
    assert digest(file) is None


def test_a_large_file_is_read_once_and_not_kept_while_it_may_still_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "LARGE", 0)
    file = tmp_path / "wine.npz"
    file.write_bytes(b"abc")
    cache = tmp_path / "cache" / "batchlab" / "digests"
    digest(file)
    assert not cache.exists(), "it has just been written"
    monkeypatch.setattr(fingerprint, "SETTLED", -1.0)
    before = digest(file)
    (kept,) = cache.iterdir()
    kept.write_text('"from the cache"')
    assert digest(file) == "from the cache"
    kept.write_text("{")
    assert digest(file) == before


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "LARGE", 0)
    monkeypatch.setattr(fingerprint, "SETTLED", -1.0)
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "x").write_bytes(b"abc")
    assert digest(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()[:24]


def test_a_folder_is_its_files_and_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "cats").mkdir(parents=True)
    assert Contents().folder(folder) is None
    (folder / "cats" / "1.png").write_bytes(b"a")
    first = Contents().folder(folder)
    (folder / "cats" / "1.png").rename(folder / "1.png")
    assert Contents().folder(folder) not in (None, first)


NAMES = st.sampled_from(["code: a.py", "code: b.py", "package: torchvision"])
PARTS = st.dictionaries(NAMES, st.builds(Part, st.sampled_from("xyz")), max_size=3)


@settings(max_examples=60)
@given(before=PARTS, now=PARTS)
def test_any_other_part_is_a_difference(before: dict[str, Part], now: dict[str, Part]) -> None:
    assert bool(differences(before, now, Contents())) == (before != now)
    assert recorded({"fingerprint": as_json(before)}) == before


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(was=st.binary(max_size=2), new=st.binary(max_size=2), known=st.booleans())
def test_data_counts_where_it_is_now_or_where_it_was(was: bytes, new: bytes, known: bool, tmp_path: Path) -> None:
    file = tmp_path / "wine.npz"
    file.write_bytes(was)
    before = {"data: wine.npz": Part(str(digest(file)), str(file))}
    file.write_bytes(new)
    now = {"data: wine.npz": Part(str(digest(file)), str(file))} if known else {}
    said = ["wine.npz has changed"] if was != new else []
    assert differences(before, now, Contents()) == drift(before, Contents()) == said
    file.unlink()
    assert drift(before, Contents()) == [], "runs may have been copied from another machine"


def test_runs_that_have_numbers_are_asked(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("new")
    info = {"fingerprint": as_json({"code: x.py": Part("old", str(file))})}
    asked = [state for state in State if stale([(state, info)])]
    assert asked == [State.DONE, State.DIVERGED, State.INTERRUPTED, State.CANCELLED, State.CRASHED]
    assert stale([(State.DONE, info)] * 2 + [(State.DONE, {})]) == {"x.py has changed": 2}


def test_what_differs_is_named() -> None:
    before = {"package: torch": Part("2.11.0"), "code: a.py": Part("x"), "code: b.py": Part("x")}
    now = {"package: torch": Part("2.12.0"), "code: a.py": Part("y"), "code: c.py": Part("x")}
    assert differences(before, now, Contents()) == [
        "torch is 2.12.0, was 2.11.0",
        "a.py has changed",
        "b.py is no longer part of it",
        "c.py is new in it",
    ]


@pytest.mark.parametrize("info", [{}, {"fingerprint": None}, {"fingerprint": []}, {"fingerprint": {"code: a": 1}}])
def test_what_is_not_recorded_or_damaged_is_unknown(info: dict[str, object]) -> None:
    assert recorded(info) is None
    assert recorded({"fingerprint": {}}) == {}


def test_a_version_is_without_its_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "version", lambda name: f"2.11.0+{name}")
    assert fingerprint.package_version("cu128") == fingerprint.package_version("cpu") == "2.11.0"
