"""`batchlab report --serve`: the page follows the runs, changes nothing, and answers this machine alone."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shell import in_one_line

from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner import serve

CONFIG = "name: batchlab\nseed: 0\noptimizer: {name: shb, lr: 0.1}\nmodel: {name: mlp}\ndataset: {name: digits}\n"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """Two runs, one of which has failed and one to come; every look is a new one."""
    monkeypatch.setattr(serve, "PATIENCE", 0.0)
    monkeypatch.setattr(serve, "time", SimpleNamespace(monotonic=itertools.count().__next__))  # however fast this is
    monkeypatch.setattr(serve, "TIMES", 0.0)
    store = RunStore(tmp_path / "runs").prepare()
    store.write_sweep("s", [SweepEntry("run0", {}, []), SweepEntry("run1", {}, [])], [])
    _ends(store, "run0", State.FAILED, "a reason to be seen")
    return store


def _ends(store: RunStore, run_id: str, state: State, reason: str) -> None:
    run = store.run(run_id)
    run.log.mkdir(parents=True)
    run.config.write_text(CONFIG)
    run.write_state(state=state, reason=reason)


@contextmanager
def served(store: RunStore, sweep: str | None = None) -> Iterator[int]:
    made = serve.server(store, sweep)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(made.server_address[1])
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def asked(port: int, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Host": host or f"localhost:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_the_page_follows_the_runs_and_changes_nothing(store: RunStore) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    with served(store, "s") as port:
        code, page, headers = asked(port, "/")
        assert code == 200
        assert "a reason to be seen" in page
        assert "connect-src 'self'" in headers["Content-Security-Policy"]
        (stamp,) = re.findall(r'made = "(\w+)"', page)
        state = json.loads(asked(port, "/state")[1])
        assert state == {"said": "2 runs: 1 failed and 1 pending", "page": stamp}
        assert {path: path.stat().st_mtime_ns for path in before} == before
        _ends(store, "run1", State.FAILED, "another reason")
        later = json.loads(asked(port, "/state")[1])
        assert (later["said"], later["page"] != stamp) == ("2 runs: 2 failed", True)
        page = asked(port, "/")[1]
        assert "another reason" in page
        assert f'made = "{later["page"]}"' in page


def test_nothing_is_read_or_made_again_until_the_disk_has_changed(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks and pages are counted: of a run that is over, of one that goes on, and of one that is killed."""
    counted = Counter[str]()
    for name in ("read_status", "report_page"):
        monkeypatch.setattr(serve, name, _counting(getattr(serve, name), counted))
    live = serve.Live(store, "s")

    def asked_often() -> dict[str, int]:
        before = Counter(counted)
        for _ in range(5):
            live.state()
            live.page()
        return {name: counted[name] - before[name] for name in ("read_status", "report_page")}

    assert asked_often() == {"read_status": 0, "report_page": 1}, "the start has looked once"
    assert asked_often() == {"read_status": 0, "report_page": 0}
    with store.run("run1").create().hold() as run:
        run.config.write_text(CONFIG)
        run.write_state(state=State.RUNNING)
        assert asked_often() == {"read_status": 1, "report_page": 1}
        assert live.state()["said"] == "2 runs: 1 running and 1 failed"
        assert asked_often() == {"read_status": 0, "report_page": 0}, "it runs, and has said nothing"
        with run.stream("metrics").open("a") as rows:
            rows.write("{}\n")
        assert asked_often() == {"read_status": 1, "report_page": 1}
    assert asked_often() == {"read_status": 1, "report_page": 1}, "nobody holds it any more: it has crashed"
    assert live.state()["said"] == "2 runs: 1 crashed and 1 failed"
    assert asked_often() == {"read_status": 0, "report_page": 0}
    store.write_sweep("s", [SweepEntry("run0", {}, [])], [])
    assert asked_often() == {"read_status": 1, "report_page": 1}
    assert live.state()["said"] == "1 run: 1 failed"


def _counting(function: Callable[..., Any], counted: Counter[str]) -> Callable[..., Any]:
    def counts(*args: Any, **named: Any) -> Any:
        counted[function.__name__] += 1
        return function(*args, **named)

    return counts


@pytest.mark.parametrize("made", [True, False])
def test_before_there_are_runs_the_page_says_so_and_follows(store: RunStore, tmp_path: Path, made: bool) -> None:
    empty = RunStore(tmp_path / "later")
    if made:
        empty.prepare()
    with served(empty) as port:
        code, page, _ = asked(port, "/")
        assert code == 200
        assert "No runs yet" in page
        assert "this page shows them" in page
        assert f"folder {empty.root}" in page
        assert json.loads(asked(port, "/state")[1])["said"] == "no runs yet"
        _ends(empty.prepare(), "run0", State.FAILED, "a reason to be seen")
        state = json.loads(asked(port, "/state")[1])
        assert state["said"] == "1 run: 1 failed"
        assert f'made = "{state["page"]}"' not in page
        assert "a reason to be seen" in asked(port, "/")[1]


def test_a_page_that_takes_long_is_not_made_at_every_change(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "TIMES", 1e9)
    with served(store, "s") as port:
        page = asked(port, "/")[1]
        _ends(store, "run1", State.FAILED, "another reason")
        state = json.loads(asked(port, "/state")[1])
        assert state["said"] == "2 runs: 2 failed", "what is said of the runs is new"
        assert f'made = "{state["page"]}"' in page, "and nobody is sent for a page that is not there yet"
        assert asked(port, "/")[1] == page


def test_it_answers_nobody_else_and_nothing_else(store: RunStore) -> None:
    """A page of somebody's, whose name was made to point here, asks under that name."""
    with served(store) as port:
        assert asked(port, "/", host="example.org")[0] == 403
        assert asked(port, "/", host=f"example.org:{port}")[0] == 403
        assert asked(port, "/../run0/config.yaml")[0] == 404
        assert asked(port, "/run0/config.yaml")[0] == 404
        assert asked(port, "/", "POST")[0] == 501
        with pytest.raises(ValueError, match=rf"--port {port}: .* without --port any that is free is taken"):
            serve.server(store, None, port)
    with pytest.raises(ValueError, match="no sweep named nothing"):
        serve.server(store, "nothing")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--serve", "-o", "a.html"), "--serve writes no file: leave out -o"),
        (("--port", "8000"), "--port goes with --serve"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = in_one_line("report", *options, monkeypatch=monkeypatch, capfd=capfd)
    assert (code, said) == (2, f"batchlab: {reason}")
