"""What the wheel carries, and that it resolves."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Iterable
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


STORES = {
    "s3": ("amazon", "s3fs"),
    "gcs": ("google", "gcsfs"),
    "abfs": ("microsoft-azure", "adlfs"),
}
"""A store's extra: Airflow's provider, and the file system that ``ObjectStoragePath`` imports."""


@pytest.mark.parametrize("extra", STORES)
def test_a_store_beside_all_else_has_its_file_system_at_the_versions_of_constraints_txt(
    wheel: Path, extra: str
) -> None:
    provider, system = STORES[extra]
    beside = f"postgres,snowflake,databricks,google-ads,{extra}"
    resolved = versions(resolve(wheel, beside, "--constraint", str(NEWEST.constraints)))
    locked = versions(NEWEST.constraints.read_text().splitlines())
    name = f"apache-airflow-providers-{provider}"
    assert (resolved[name], resolved[system]) == (locked[name], locked[system])


BESIDE = {
    "apache-airflow-providers-amazon[s3fs]": 9,
    "apache-airflow-providers-celery": 3,
    "apache-airflow-providers-cncf-kubernetes": 10,
    "apache-airflow-providers-fab": 3,
    "apache-airflow-providers-google": 22,
    "apache-airflow-providers-microsoft-azure": 15,
}
"""What people have beside us, by the major version of today's release."""


@pytest.mark.parametrize(("asked", "today"), BESIDE.items(), ids=BESIDE)
def test_our_constraints_take_nothing_beside_us_back_to_old_releases(
    asked: str, today: int
) -> None:
    """A resolver goes back for years, without a word, to a release that asks for less."""
    found = versions(compiled(asked, "--constraint", str(NEWEST.constraints)))
    assert int(found[asked.partition("[")[0]].partition(".")[0]) >= today
    assert ("s3fs" in found) is ("s3fs" in asked)


def compiled(requirement: str, *options: str) -> set[str]:
    output = uv(
        "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", "3.11",
        *options, "-", given=f"apache-airflow=={NEWEST.airflow}\n{requirement}\n",
    )  # fmt: skip
    return set(output.split("\n"))


def versions(lines: Iterable[str]) -> dict[str, str]:
    """Those for Python 3.11, by name."""
    found = (line.partition(";") for line in lines if "==" in line)
    kept = [line for line, _, marker in found if "'3.14'" not in marker or "< '3.14'" in marker]
    return {name: version.strip() for name, _, version in (line.partition("==") for line in kept)}


def resolve(wheel: Path, extra: str, *options: str) -> set[str]:
    what = f"airflow-provider-liftos{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
    return compiled(what, *options)


def bare(requirement: str) -> str:
    return requirement.partition(">")[0].partition("=")[0].partition("[")[0].strip()
