"""Measure the size of the page of twelve runs, the time to make it, and the time a browser takes to open it.

    python benchmarks/report.py RUN [RUN ...]

Runs are copied under other names until there are twelve. Needs Playwright and Chromium.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from doublevit.jobs.report import write_report

COUNT = 12
OPENINGS = 9
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    """Make the page and open it nine times, each time in a new window of the browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        copies = [_copy(runs[number % len(runs)], Path(folder), number) for number in range(COUNT)]
        start = time.perf_counter()
        page = write_report(copies, Path(folder) / "report.html", paper=True).page
        made = time.perf_counter() - start
        painted, loaded = zip(*_open(page), strict=True)
        table = Table("", "median", "least", "most", title=f"The page of {COUNT} runs", caption=_size(page, made))
        for name, values in (("first paint, ms", painted), ("loaded, ms", loaded)):
            table.add_row(name, *(f"{of(values):,.0f}" for of in (statistics.median, min, max)))
        Console().print(table)


def _copy(run: Path, folder: Path, number: int) -> Path:
    target = folder / f"{run.name}-{number}"
    shutil.copytree(run, target, ignore=shutil.ignore_patterns("checkpoints"))
    return target


def _size(page: Path, made: float) -> str:
    return f"{page.stat().st_size / 1e6:.2f} MB, made in {made:.1f} s"


def _open(page: Path) -> list[tuple[float, float]]:
    """Return the milliseconds to the first paint, and until all is loaded, of each opening."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(OPENINGS):
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_timeout(300)
            times.append((float(tab.evaluate(PAINTED)), float(tab.evaluate(LOADED))))
            tab.close()
        browser.close()
    return times


if __name__ == "__main__":
    main()
