"""What a DAG file of ours costs to import, over bare Airflow."""

from __future__ import annotations

import statistics
import subprocess
import sys

_BARE = (
    "from airflow.sdk import DAG, Asset, BaseOperator, Param, TaskGroup, BaseHook, BaseOperatorLink"
)
_CODE = """
import time, sys
{bare}
import airflow.triggers.base
before = time.process_time()
{extra}
print(time.process_time() - before)
heavy = [m for m in ("pandas", "pyarrow", "duckdb", "great_expectations", "facebook_business")
         if m in sys.modules]
print(",".join(heavy))
"""


def seconds(extra: str) -> tuple[float, str]:
    code = _CODE.format(bare=_BARE, extra=extra)
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    lines = [run.stdout.strip("\n").splitlines() for run in runs]
    return statistics.median(float(line[0]) for line in lines), lines[0][1] if len(
        lines[0]
    ) > 1 else ""


def report() -> None:
    cost, heavy = seconds("import runpy; runpy.run_path('dags/meta.py')")
    print(
        f"importing dags/meta.py over bare Airflow: {cost:.2f} s CPU; heavy modules: {heavy or 'none'}"
    )


if __name__ == "__main__":
    report()
