"""What the wheel carries, and that it resolves."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.install.environment import NEWEST, ROOT, uv

pytestmark = pytest.mark.install

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ["", *PROJECT["optional-dependencies"]]


def files(folder: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_dags_and_include_travel_inside_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = files("dags") | files("include")
    assert "dags/meta.py" in wanted
    assert {f"airflow_provider_liftos/resources/{name}" for name in wanted} <= names


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0].split("-")[0] for name in names}
    assert tops == {"airflow_provider_liftos"}
    assert "airflow_provider_liftos/py.typed" in names
    assert [name for name in names if name.endswith((".pyc", ".db", ".duckdb"))] == []


def test_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    uv("build", "--quiet", "--offline", "--no-build-isolation", "--out-dir", tmp_path)
    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda e: e or "none")
def test_it_resolves_with_the_newest_airflow(wheel: Path, extra: str) -> None:
    resolved = resolve(wheel, extra)
    assert f"apache-airflow=={NEWEST.airflow}" in resolved
    names = {line.split("==")[0] for line in resolved}
    assert {bare(requirement) for requirement in PROJECT["dependencies"]} <= names


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda e: e or "none")
def test_it_resolves_at_the_versions_of_constraints_txt(wheel: Path, extra: str) -> None:
    assert resolve(wheel, extra, "--constraint", str(NEWEST.constraints))


def resolve(wheel: Path, extra: str, *options: str) -> set[str]:
    what = f"airflow-provider-liftos{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
    given = f"apache-airflow=={NEWEST.airflow}\n{what}\n"
    output = uv(
        "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", "3.11",
        *options, "-", given=given,
    )  # fmt: skip
    return set(output.split("\n"))


def bare(requirement: str) -> str:
    return requirement.partition(">")[0].partition("=")[0].partition("[")[0].strip()
