"""Nothing of one person's machine or network is in the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import skip_unless_required

ROOT = Path(__file__).parents[2]

FOREIGN = {
    "a package registry": r"pypi\.org|pythonhosted\.org|devpi|artifactory|nexus\.",
    "an index setting": r"(?<!no-emit-)index-url|UV_INDEX|PIP_INDEX|UV_DEFAULT_INDEX",
    "somebody's home": r"(?<![\w.])/(?:root|home/(?!airflow\b)\w+|Users/\w+)/",
    "somebody's working folder": r"(?<![\w./}])/(?:work|tmp/w)/",
    "a private key": r"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----",
}


def tracked() -> list[Path]:
    if not shutil.which("git") or not (ROOT / ".git").exists():
        skip_unless_required("git", "this is not a git checkout")
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in done.stdout.split("\0") if name]


@pytest.mark.parametrize("what", FOREIGN)
def test_no_tracked_file_contains(what: str) -> None:
    pattern = re.compile(FOREIGN[what])
    found = []
    for file in tracked():
        if file == Path(__file__) or not file.is_file():
            continue
        text = file.read_bytes().decode(errors="replace")
        found += [
            f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if pattern.search(line)
        ]
    assert found == []


def test_what_is_built_or_run_is_not_tracked() -> None:
    generated = {".venv", ".liftos", "dist", "build", "__pycache__", ".env"}
    assert [str(f) for f in tracked() if generated & set(f.relative_to(ROOT).parts)] == []
