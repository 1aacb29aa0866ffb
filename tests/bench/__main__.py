"""``make bench``: everyone on the same loopback server, interleaved, one process each.

``python -m tests.bench [ROUNDS]``. Nothing here is asserted: numbers depend on the machine, ratios
less so.
"""

from __future__ import annotations

import json
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.server import PAGE

ACCOUNTS, DAYS = 4, 10
SIZES = (100_000, 200_000, 1_000_000)
MEMORY_ONLY = 5_000_000
HOOK_UP_TO = 100_000


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    results: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for size in SIZES:
            for name in contestants(size):
                results.setdefault((size, name), []).append(race(name, size))
    results[MEMORY_ONLY, "liftos"] = [race("liftos", MEMORY_ONLY)]
    table(results)
    extras()


def contestants(size: int) -> list[str]:
    return ["liftos", "dlt + Arrow", *(["Airflow hook + pandas"] if size <= HOOK_UP_TO else [])]


COMMANDS = {
    "liftos": ("tests.bench.ours", str(DAYS)),
    "dlt + Arrow": ("tests.bench.dlt_arrow",),
    "Airflow hook + pandas": ("tests.bench.airflow_hook", str(ACCOUNTS)),
}


def race(name: str, size: int) -> dict[str, Any]:
    """One contestant against a fresh server; fails loudly when rows or spend are wrong."""
    module, *more = COMMANDS[name]
    folder = Path(tempfile.mkdtemp(prefix="liftos-bench-"))
    try:
        with server(size) as url:
            command = [sys.executable, "-m", module, url, str(folder), *more]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} failed at {size} rows:\n{done.stderr[-3000:]}")
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if result["rows"] != size:
        raise SystemExit(f"{name}: {result['rows']} rows instead of {size}")
    print(f"{name:>22} {size:>9,}  {json.dumps(result)}", flush=True)
    return result


@contextmanager
def server(rows: int, run_seconds: int = 0) -> Iterator[str]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [str(value) for value in (port, rows, ACCOUNTS, DAYS, run_seconds)]
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.server", *arguments])
    try:
        for _ in range(200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def table(results: dict[tuple[int, str], list[dict[str, Any]]]) -> None:
    print(f"\n{platform.processor() or platform.machine()}, {platform.python_version()};"
          f" pages of {PAGE} rows, {ACCOUNTS} accounts, {DAYS} days; median of the rounds\n")  # fmt: skip
    print("| rows | client | rows/s | CPU µs/row | peak MB |")
    print("|---:|---|---:|---:|---:|")
    for (size, name), runs in sorted(results.items()):
        rate = statistics.median(run["rows"] / run["wall"] for run in runs)
        cpu = statistics.median(1e6 * run["cpu"] / run["rows"] for run in runs)
        peak = max(run["rss"] for run in runs)
        print(f"| {size:,} | {name} | {rate:,.0f} | {cpu:.0f} | {peak:,.0f} |")


def extras() -> None:
    """The budgets that are not about rows."""
    from tests.bench import auditing, imports, loading, polling, recipe, search_stream, waiting

    print()
    imports.report()
    recipe.report()
    auditing.report()
    loading.report()
    search_stream.report()
    with server(1000, run_seconds=polling.SECONDS) as url:
        polling.report(url)
    waiting.report()


if __name__ == "__main__":
    main()
