"""The report of 500 runs of 200 rows as 500 lines: how large its file is, and how soon a browser has it open.

    python benchmarks/bench_report.py [--runs N] [--rows N] [--repeat N]

Opening is from the navigation to the `load` event, and to the first figure of curves drawn after scrolling to it;
medians of fresh pages. Without playwright or Chromium only the writing and the size are measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bench_results import make_store

from batchlab.results.report import own
from batchlab.results.report.write import write_report
from batchlab.results.store.runs import RunStore, SweepEntry

CHROMIUM = Path("/usr/bin/chromium")
MOUNTED = "document.querySelector('figure.curves canvas') !== null"


def each_a_line(store: RunStore) -> None:
    """Label the runs of every sweep, so that each is a method and a line of its own."""
    (name,) = store.sweeps()
    sweep = store.sweep(name)
    entries = [SweepEntry(e.run_id, {"part": f"part {i}"}, e.overrides) for i, e in enumerate(sweep.entries)]
    store.record(replace(sweep, entries=entries))


def opening(page: Path, repeat: int) -> tuple[float, float]:
    """Median seconds until a page is loaded, and until its first curves are drawn."""
    from playwright.sync_api import sync_playwright

    loaded, drawn = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for _ in range(repeat):
            tab = browser.new_page()
            tab.goto(page.as_uri(), wait_until="load")
            loaded.append(tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"))
            start = time.perf_counter()
            tab.evaluate("document.querySelector('figure.curves').scrollIntoView()")
            tab.wait_for_function(MOUNTED)
            drawn.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return statistics.median(loaded), statistics.median(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "runs", asked.runs, asked.rows)
        each_a_line(store)
        own.ROWS = max(own.ROWS, asked.runs)  # the table too
        start = time.perf_counter()
        page = write_report(store, Path(folder) / "report.html")
        print(f"written in {time.perf_counter() - start:.1f} s: {page.stat().st_size / 2**20:.2f} MiB")
        try:
            loaded, drawn = opening(page, asked.repeat)
        except ImportError:
            print("playwright is not installed: opening was not measured")
        else:
            print(f"open after {loaded:.2f} s, the first curves {drawn:.2f} s after they are scrolled to")


if __name__ == "__main__":
    main()
