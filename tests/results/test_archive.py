"""Runs that travel: what an archive holds, what it weighs, and that it reads as the folder it was packed from."""

from __future__ import annotations

import io
import json
import lzma
import math
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchlab.results.compare.load import load
from batchlab.results.show.status import read_status
from batchlab.results.store import archive
from batchlab.results.store.atomic import temporary_of
from batchlab.results.store.objects import formatted
from batchlab.results.store.pack import pack
from batchlab.results.store.record import Recorder
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.results.store.travel import placeless, unplaced
from batchlab.results.store.unpacked import OWN, opened

HOME = "/home/somebody/work"


def made(store: RunStore, run_id: str, *, state: str = "done", rows: int = 3, sealed: bool = True, **tree: Any) -> Run:
    """A run as training leaves it, at home on a machine."""
    run = store.run(run_id)
    names = {"optimizer": "shb", "lr_schedule": "constant", "batch_schedule": "constant", "model": "m", "dataset": "d"}
    blocks: dict[str, Any] = {axis: {"name": name} for axis, name in names.items()}
    blocks["dataset"] |= {"root": f"{HOME}/data"}
    blocks |= {"executor": {"name": "slurm", "account": "mine", "threads": 1}, "callback": {"x": {"to": HOME}}}
    config = blocks | {"seed": int(run_id[-1]), "train": {"epochs": 2.0}} | tree
    run.write_config(yaml.safe_dump(config, sort_keys=False))
    facts = {"pid": 7, "host": "node17", "git": "1f", "hardware": {"device": "a CPU"}, "versions": {"torch": "2"}}
    facts["fingerprint"] = {"data: d.npz": {"is": "77", "at": f"{HOME}/data/d.npz"}}
    run.write_state(state="running", **facts)
    with Recorder(run) as recorder:
        for i in range(rows):
            recorder.write("metrics", {"samples": i, "test_accuracy": [math.nan, 0.5, 0.1 + i / 7][i % 3]})
        if sealed:
            recorder.seal(names | {"seed": config["seed"], "run_id": run_id}, config)
    run.write_state(state=state, reason=f"no file {HOME}/d.npz" if state == "failed" else None)
    return run


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Two runs that are done, one each that has failed and was interrupted, and one that has not begun."""
    store = RunStore(tmp_path / "runs").prepare()
    made(store, "a0")
    made(store, "a1", state="diverged")
    made(store, "a2", state="failed", sealed=False)
    made(store, "a3", state="interrupted", sealed=False).checkpoint.write_bytes(b"tensors")
    store.run("a0").log.joinpath("rank0.log").write_text("epoch 1")
    entries = [SweepEntry(f"a{i}", {"case": str(i)}, [f"seed={i}", f"dataset.root={HOME}"]) for i in range(5)]
    store.write_sweep("s-laptop", entries)
    store.declare("s-laptop", {"looks": [3, 5]})
    store.write_measured("s", {"seconds": 1.5})
    return store


def names(path: Path) -> list[str]:
    with tarfile.open(path) as file:
        return file.getnames()


def test_it_holds_results_and_nothing_to_go_on_from(store: RunStore, tmp_path: Path) -> None:
    packed = pack(store, tmp_path / "x.tar.xz")
    assert packed.states == {"a0": State.DONE, "a1": State.DIVERGED, "a2": State.FAILED, "a3": State.INTERRUPTED}
    assert packed.absent == 1
    assert names(packed.path) == [
        "archive.json",
        *(f"a{i}/{part}" for i in (0, 1) for part in ("config.yaml", "metrics.parquet", "run.json")),
        *(f"a{i}/{part}" for i in (2, 3) for part in ("config.yaml", "metrics.jsonl", "run.json")),
        ".sweeps/s-laptop.json",
        ".plans/s-laptop.json",
        ".measured/s.json",
    ]


def test_it_reads_as_the_folder_did(store: RunStore, tmp_path: Path) -> None:
    with opened([pack(store, tmp_path / "x.tar.xz").path]) as read:
        before, after = load(store, "s-laptop"), load(read, "s-laptop")
        assert read.plan("s-laptop") == store.plan("s-laptop")
        assert read.measured("s") == store.measured("s")
        root = read.root
        assert str(after.table.to_pydict()) == str(before.table.to_pydict())
        for one, other in zip(before.runs, after.runs, strict=True):
            assert (one.run_id, one.state, one.labels, one.rows) == (
                other.run_id,
                other.state,
                other.labels,
                other.rows,
            )
            assert unplaced(one.config) == other.config
            assert {k: v for k, v in placeless(one.info).items() if k != "sealed"} == {
                k: v for k, v in other.info.items() if k != "sealed"
            }
    assert not root.exists()
    assert not root.parent.exists()


def test_runs_of_earlier_versions_travel_too(store: RunStore, tmp_path: Path) -> None:
    """Which had no checksums and sizes in run.json, and switches where there are measures now."""
    old, switched = store.run("a0"), made(store, "b0", log={"gsnr": True, "steps": False})
    said = json.loads(old.state_file.read_bytes())
    old.state_file.write_text(json.dumps({key: said[key] for key in said.keys() - {"sealed", "checksum"}}))
    with opened([pack(store, tmp_path / "x.tar.xz").path]) as read:
        assert read.run("a0").read_state().state is State.DONE
        assert load(read, where=["log.gsnr=true"]).runs[0].run_id == switched.run_id
        assert str(load(read).table.to_pydict()) == str(load(store).table.to_pydict())
        (read.run("a0").metrics).unlink()
        assert read.run("a0").read_state().state is State.DAMAGED


def test_what_a_killed_reader_left_is_removed_and_nothing_else(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(store, tmp_path / "x.tar.xz").path
    place = tmp_path / "tmp"
    monkeypatch.setattr("tempfile.tempdir", str(place))
    ours = temporary_of(place / f"{OWN}0123").name
    dead = ours.rpartition(".")[0] + ".999999999"
    others = ["probe.999999999", dead.replace(OWN, "other-"), ours]
    for name in (dead, *others):
        (place / name / "0").mkdir(parents=True)
    with opened([path]) as read:
        assert read.root.parent.parent == place
        assert read.root.parent.stat().st_mode & 0o077 == 0, "for this user alone"
    assert sorted(file.name for file in place.iterdir()) == sorted(others)


def test_names_and_paths_of_the_machine_stay_at_home(store: RunStore, tmp_path: Path) -> None:
    packed = pack(store, tmp_path / "x.tar.xz")
    content = lzma.decompress(packed.path.read_bytes())
    for word in (HOME, "somebody", "node17", "mine", str(tmp_path)):
        assert word.encode() not in content
    for word in ("a CPU", '"git": "1f"', "…/d.npz"):
        assert word.encode() in content or json.dumps(word)[1:-1].encode() in content


def test_the_same_runs_have_the_same_bytes(store: RunStore, tmp_path: Path) -> None:
    one, other = (pack(store, tmp_path / f"{name}.tar.xz").path.read_bytes() for name in "ab")
    assert one == other


def test_what_is_being_trained_or_damaged_is_not_in_it(store: RunStore, tmp_path: Path) -> None:
    made(store, "b0", state="running", sealed=False)
    made(store, "b1").steps.mkdir()
    flipped = store.run("a1").metrics
    flipped.write_bytes(flipped.read_bytes().replace(b"a1", b"aX", 1))
    store.run("a2").state_file.write_text("{")
    store.run("a0").config.write_text("a: [")  # its rows have it
    with store.run("b0").hold():
        packed = pack(store, tmp_path / "x.tar.xz")
    assert packed.training == ["b0"]
    assert {run_id: str(store.run(run_id).folder) in why for run_id, why in packed.damaged.items()} == {
        "a1": True,
        "a2": True,
        "b1": True,
    }
    assert packed.states.keys() == {"a0", "a3"}
    with opened([packed.path]) as read:
        assert load(read, where=["run_id=a0"]).runs[0].config["seed"] == 0


def test_a_run_that_goes_on_while_it_is_read_is_not_in_it(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> bytes:
        store.run("a0").write_state(state="interrupted")
        return path.read_bytes()

    monkeypatch.setattr("batchlab.results.store.travel._table", slow)
    assert pack(store, tmp_path / "x.tar.xz").training == ["a0"]


def test_nothing_is_written_where_nothing_can_be_packed(store: RunStore, tmp_path: Path) -> None:
    before = pack(store, tmp_path / "x.tar.xz").path.read_bytes()
    for target, sweep, says in (
        ("x.zip", None, "ends in .tar.xz"),
        ("no/x.tar.xz", None, "there is no folder"),
        ("runs.tar.xz", "nope", "no sweep named nope"),
        ("mine.tar.xz", None, "is there and is no archive"),
        ("long.tar.xz", "x" * 96, "no room in an archive"),
    ):
        store.write_sweep("x" * 96, [SweepEntry("a0")])
        (tmp_path / "mine.tar.xz").write_text("mine")
        with pytest.raises(ValueError, match=says):
            pack(store, tmp_path / target, sweep)
    (store.root / ".sweeps" / f"{'x' * 96}.json").unlink()
    for run in store.runs():
        run.state_file.write_text("{")
    with pytest.raises(ValueError, match=r"nothing was packed: .* delete it"):
        pack(store, tmp_path / "x.tar.xz")
    assert (tmp_path / "x.tar.xz").read_bytes() == before
    assert (tmp_path / "mine.tar.xz").read_text() == "mine"
    with pytest.raises(ValueError, match="no run to pack"):
        pack(RunStore(tmp_path / "empty").prepare(), tmp_path / "y.tar.xz")
    assert sorted(path.name for path in tmp_path.glob("*.xz")) == ["mine.tar.xz", "x.tar.xz"]


def test_what_runs_have_in_common_weighs_nothing(store: RunStore, tmp_path: Path) -> None:
    """Each Parquet file repeats its configuration, which one stream takes away again."""
    for i in range(30):
        made(store, f"c{i}", rows=10)
    size = sum(file.stat().st_size for file in store.root.rglob("*.parquet"))
    assert pack(store, tmp_path / "x.tar.xz").bytes < size / 10


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"{}", **attributes: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


FIRST = member("archive.json", formatted({"format": 1}))


def written(path: Path, *members: Member, end: bytes = b"") -> Path:
    """An archive of any members, as somebody else might write one."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for info, body in members:
            file.addfile(info, io.BytesIO(body))
    path.write_bytes(lzma.compress(content.getvalue() + end))
    return path


BAD: dict[str, tuple[list[Member], str]] = {
    "link": ([FIRST, member("a/run.json", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "a/run.json is a link"),
    "hard link": ([FIRST, member("a/run.json", b"", type=tarfile.LNKTYPE, linkname="x")], "is a link"),
    "device": ([FIRST, member("a/run.json", b"", type=tarfile.CHRTYPE)], "is a device"),
    "pipe": ([FIRST, member("a/run.json", b"", type=tarfile.FIFOTYPE)], "is a pipe"),
    "folder": ([FIRST, member("a", b"", type=tarfile.DIRTYPE)], "is a folder"),
    "sparse": (
        [FIRST, member("a/run.json", b"", type=tarfile.GNUTYPE_SPARSE)],
        "is damaged|something else than a file",
    ),
    "long name": ([FIRST, member("x", b"a/run.json", type=tarfile.GNUTYPE_LONGNAME)], "something else than a file"),
    "pax": ([FIRST, member("x", b"20 path=a/run.json\n", type=tarfile.XHDTYPE)], "something else than a file"),
    "absolute": ([FIRST, member("/a/run.json")], "is an absolute path"),
    "up": ([FIRST, member("../a/run.json")], "leads out of its folder"),
    "up within": ([FIRST, member("a/../run.json")], "leads out of its folder"),
    "twice": ([FIRST, member("a/run.json"), member("a/run.json")], "holds a/run.json twice"),
    "first twice": ([FIRST, FIRST], "is no archive of runs"),
    "other file": ([FIRST, member("a/checkpoint.pt")], "a/checkpoint.pt is no file of a run"),
    "deeper": ([FIRST, member("a/log/run.json")], "is no file of a run"),
    "hidden run": ([FIRST, member(".index/run.json")], "is no file of a run"),
    "new line": ([FIRST, member("a/run.json\n")], "is no file of a run"),
    "escape": ([FIRST, member("a/\x1b[31m")], r"a/\\x1b\[31m is no file of a run"),
    "not ours": ([member("a/run.json")], "is no archive of runs"),
    "nothing": ([], "is no archive of runs"),
    "later": ([member("archive.json", formatted({"format": 2}))], "has format 2, this batchlab reads format 1"),
    "no format": ([member("archive.json", b"[]")], "is no archive of runs"),
}


@pytest.mark.parametrize(("members", "says"), BAD.values(), ids=BAD.keys())
def test_archives_hold_plain_files_of_runs(members: list[Member], says: str, tmp_path: Path) -> None:
    path = written(tmp_path / "x.tar.xz", *members)
    with pytest.raises(ValueError, match=says) as caught, opened([path]):
        pass
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()
    assert [*tmp_path.iterdir()] == [path]


def test_what_an_archive_holds_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [FIRST, *(member(f"a{i}/run.json", bytes(5000)) for i in range(4))]
    path = written(tmp_path / "x.tar.xz", *some)
    assert len([*archive.members(path)]) == 4
    for bound, value in (("MEMBER_BYTES", 4999), ("TOTAL_BYTES", 9999), ("MEMBERS", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(archive, bound, value)
            if bound == "TOTAL_BYTES":
                patch.setattr(archive, "MEMBERS", 8)
            with pytest.raises(ValueError, match=r"is refused: .* too much"):
                [*archive.members(path)]
            with pytest.raises(ValueError, match="is too much: an archive takes"):
                archive.write(tmp_path / "y.tar.xz", [(f"a{i}/run.json", bytes(5000)) for i in range(4)])
            assert not (tmp_path / "y.tar.xz").exists()
    info = tarfile.TarInfo("a/run.json")
    info.size = 1 << 40
    promised = lzma.compress(FIRST[0].tobuf() + FIRST[1].ljust(512, b"\0") + info.tobuf(tarfile.GNU_FORMAT))
    path.write_bytes(promised)
    with pytest.raises(ValueError, match=r"a/run\.json is too much"):
        [*archive.members(path)]
    monkeypatch.setattr(archive, "DECODER_BYTES", 1 << 20)
    with pytest.raises(ValueError, match=r"Memory usage limit exceeded"):
        [*archive.members(path)]


def test_what_follows_its_end_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tar.xz", FIRST, member("a/run.json"), end=b"more")
    with pytest.raises(ValueError, match="something follows its end"):
        [*archive.members(path)]
    path = written(path, FIRST, member("a/run.json"))
    with path.open("ab") as file:
        file.write(b"\0" * 8)
    with pytest.raises(ValueError, match="something follows its end"):
        [*archive.members(path)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_bit_that_flips_or_an_end_that_is_missing_is_one_line(
    data: st.DataObject, shared_archive: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "x.tar.xz"
    at = data.draw(st.integers(0, 8 * len(shared_archive) - 1))
    broken = bytearray(shared_archive)
    if data.draw(st.booleans()):
        broken[at // 8] ^= 1 << at % 8
    else:
        del broken[at // 8 :]
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"x\.tar\.xz (is|has) ") as caught:
        [*archive.members(path)]
    assert "\n" not in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_is_within_xz_is_read_or_is_one_line(
    data: st.DataObject, shared_archive: bytes, tmp_path: Path
) -> None:
    """Its checksum is right then, as whoever wants to break a reader takes care of that."""
    path = tmp_path / "x.tar.xz"
    content = bytearray(lzma.decompress(shared_archive))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 3).map(lambda i: 1024 * i + 120))
        content[at : at + 4] = data.draw(st.binary(max_size=6))
    path.write_bytes(lzma.compress(content, preset=0))
    with suppress(ValueError), opened([path]) as store:
        load(store)
        read_status(store)


@pytest.fixture(scope="module")
def shared_archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("shared")
    store = RunStore(folder / "runs").prepare()
    made(store, "a0")
    store.write_sweep("s", [SweepEntry("a0")])
    return pack(store, folder / "x.tar.xz").path.read_bytes()


def test_damaged_files_in_it_are_told_of_as_those_of_a_folder(store: RunStore, tmp_path: Path) -> None:
    path = pack(store, tmp_path / "x.tar.xz").path
    files = dict(archive.members(path))
    files["a0/metrics.parquet"] = files["a0/metrics.parquet"].replace(b"a0", b"aX", 1)
    files["a1/run.json"] = b"{"
    archive.write(path, files.items())
    with opened([path]) as read:
        frame = load(read, "s-laptop")
        assert [run.state for run in frame.runs[:3]] == [State.DAMAGED, State.DAMAGED, State.FAILED]
        status = read_status(read)
        said = [*frame.problems, *(run.reason or "" for run in status.runs)]
        assert str(read.root) not in " ".join(said)
    assert frame.problems[0].startswith(f"{path}: a0/metrics.parquet is damaged")
    assert frame.problems[0].endswith(": pack it again where it was trained")
    assert frame.problems[1].startswith(f"{path}: a1/run.json is not the JSON object")
    files[".sweeps/s-laptop.json"] = b"{"
    archive.write(path, files.items())
    with opened([path]) as read, pytest.raises(ValueError, match=rf"^{path}.*s-laptop\.json is damaged"):
        load(read, "s-laptop")


def test_several_archives_are_read_as_one(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for i in range(4):
        store.write_sweep(f"part{i}", [SweepEntry(f"a{i}")])
        store.write_sweep("whole", [SweepEntry(f"a{i}", {"case": i})])
        pack(store, tmp_path / "all" / f"{i}.tar.xz", "whole")
    with opened([tmp_path / "all", tmp_path / "all" / "1.tar.xz"]) as read:
        assert [run.run_id for run in load(read, "whole").runs] == ["a0", "a1", "a2", "a3"]
        assert read.name.count("tar.xz") == 4
    for name, says in (("none.tar.xz", "there is no archive"), ("runs", "reads a folder of runs")):
        with pytest.raises(ValueError, match=says), opened([tmp_path / name]):
            pass


@given(st.text(alphabet="ab/~. '\":(…", max_size=30))
def test_paths_lose_their_folders_and_stay_so(text: str) -> None:
    (bare,) = placeless({"reason": text}).values()
    assert placeless({"reason": bare}) == {"reason": bare}, "packed again it is the same"
    assert len(bare) <= len(text)
    assert bare == text or "…/" in bare


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("FileNotFoundError: '/home/me/a b/wine.csv'", "FileNotFoundError: '…/a b/wine.csv'"),
        ("~/data/wine.csv is not there", "…/wine.csv is not there"),
        ("file:///home/me/x and https://example.org/a/b", "file:///home/me/x and https://example.org/a/b"),
        ("1/2 of 3 img/s, /x", "1/2 of 3 img/s, /x"),
        ("see /home/me/runs/a1/log, or /data/d", "see …/log, or …/d"),
    ],
)
def test_which_folders_a_text_loses(text: str, bare: str) -> None:
    assert placeless({"reason": text}) == {"reason": bare}
