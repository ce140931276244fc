"""`batchlab report --serve`: the report of runs that still train, on a page of this machine's own that follows them.

The page is made when it is asked for and something on the disk has changed, and never more often than it is quick to
make. Before there are runs it says so. Nothing can be changed through it; it answers this machine alone (loopback),
under that machine's own names.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from batchlab.results.report.assets import fill
from batchlab.results.report.write import report_page
from batchlab.results.show.status import read_status
from batchlab.results.store.run import Run, State
from batchlab.results.store.runs import RunStore

HOST = "127.0.0.1"
PATIENCE = 1.0
"""Seconds from one look at the store to the next, at least; what the last one took, if that was longer."""
TIMES = 1.0
"""A page is made anew after this many times the seconds that it took, at the earliest: half of a core goes there."""
RULES = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Live:
    """The report of a store, kept.

    Args:
        store: Where the runs are.
        sweep: Only the runs of this sweep.

    Raises:
        ValueError: There is no such sweep.
    """

    def __init__(self, store: RunStore, sweep: str | None) -> None:
        self.store, self.sweep = store, sweep
        self._lock = threading.Lock()
        self._text, self._made = "", ""
        self._stamp, self._said = "", ""
        self._running: list[str] = []
        self._look_again = self._make_again = 0.0
        self._look()

    def state(self) -> dict[str, str]:
        """What there is to say of the runs, and the stamp of the page that can be had now."""
        with self._lock:
            self._look()
            fresh = self._stamp if time.monotonic() >= self._make_again else self._made
            return {"said": self._said, "page": fresh or self._stamp}

    def page(self) -> str:
        """The page, as new as it can be had.

        Raises:
            ValueError: There is nothing to read.
        """
        with self._lock:
            self._look()
            if self._made != self._stamp and time.monotonic() >= self._make_again:
                began = time.monotonic()
                self._text = report_page(self.store, self.sweep, fill("follow", stamp=self._stamp))
                self._made = self._stamp  # but not of a page that could not be made
                self._make_again = time.monotonic() + TIMES * (time.monotonic() - began)
            return self._text

    def _look(self) -> None:
        """See whether anything has changed, unless that was seen a moment ago, and only then how the runs stand."""
        began = time.monotonic()
        if began < self._look_again:
            return
        traces = [*self._traces()]
        # that a process died leaves no trace, its lock is free: those that ran a moment ago are asked themselves
        alive = [str(self.store.run(run_id).read_state().state) for run_id in self._running]
        if not self._stamp or _digest([traces, alive]) != self._stamp:
            status = read_status(self.store, self.sweep)
            self._running = [run.run_id for run in status.runs if run.state is State.RUNNING]
            self._stamp = _digest([traces, [str(State.RUNNING)] * len(self._running)])
            self._said = status.summary() if status.total else "no runs yet"
        self._look_again = time.monotonic() + max(PATIENCE, time.monotonic() - began)

    def _traces(self) -> Iterator[tuple[str, int, int]]:
        """What tells without reading it that a run, or a sweep's manifest, has changed."""
        sweeps = self.store.sweeps() if self.sweep is None else [self.sweep]
        yield from ((name, *_stamp(self.store.manifest(name))) for name in sweeps)
        known = None if self.sweep is None else [entry.run_id for entry in self.store.sweep(self.sweep).entries]
        for name in sorted(self.store.folders()) if known is None else known:
            run = Run(self.store.root / name)
            for path in (run.state_file, run.stream("metrics")):
                yield (name, *_stamp(path))


def _digest(what: list[Any]) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    """When a file changed and how long it is; noughts where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the page and of the state; `live` is set by a subclass."""

    live: Live
    server_version, sys_version = "batchlab", ""

    def do_GET(self) -> None:
        """One of the two."""
        port = self.connection.getsockname()[1]
        if self.headers.get("Host") not in {f"{name}:{port}" for name in (HOST, "localhost")}:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "this page is for the machine that serves it")
            return
        answers: dict[str, tuple[str, Callable[[], str]]] = {
            "/": ("text/html", self.live.page),
            "/state": ("application/json", lambda: json.dumps(self.live.state())),
        }
        kind, make = answers.get(self.path, ("", str))
        if not kind:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is / alone")
            return
        try:
            self._answer(HTTPStatus.OK, kind, make())
        except ValueError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", str(error))

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", RULES)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's business."""


def server(store: RunStore, sweep: str | None, port: int = 0) -> ThreadingHTTPServer:
    """A server of a store's report, which listens already.

    Args:
        store: Where the runs are.
        sweep: Only the runs of this sweep.
        port: 0: any that is free.

    Raises:
        ValueError: The port cannot be had, or there is no such sweep.
    """
    handler = type("Handler", (_Handler,), {"live": Live(store, sweep)})
    try:
        made = ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        raise ValueError(f"--port {port}: {error}; without --port any that is free is taken") from error
    made.daemon_threads = True
    return made
