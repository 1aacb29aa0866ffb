"""The wheel in a bare Airflow: found, configured, its DAGs importable."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.install.environment import ROOT, Environment, Release

pytestmark = pytest.mark.install

FORM = """
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
prefix = "extra__liftosmeta__"
answer = {
    "hook": manager.hooks["liftosmeta"].hook_class_name,
    "testable": manager.hooks["liftosmeta"].connection_testable,
    "fields": [k.removeprefix(prefix) for k in manager.connection_form_widgets if k.startswith(prefix)],
    "behaviour": manager.field_behaviours["liftosmeta"],
    "links": [path for path in manager.extra_links_class_names if "liftos" in path],
}
"""

HOOK = """
from airflow.sdk import BaseHook
hook = BaseHook.get_hook("some_meta")
answer = [type(hook).__module__ + "." + type(hook).__name__, hook.conn_id]
"""

DAGBAG = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
answer = {"errors": bag.import_errors, "dags": sorted(bag.dags)}
"""


def test_airflow_is_the_release_that_was_asked_for(
    installed: Environment, release: Release
) -> None:
    assert installed.run("airflow", "version").split()[-1] == release.airflow


def test_airflow_lists_the_provider(installed: Environment) -> None:
    listed = json.loads(installed.run("airflow", "providers", "list", "--output", "json"))
    assert "airflow-provider-liftos" in {entry["package_name"] for entry in listed}


def test_airflow_lists_the_hook(installed: Environment) -> None:
    hooks = json.loads(installed.run("airflow", "providers", "hooks", "--output", "json"))
    (ours,) = [hook for hook in hooks if hook["connection_type"] == "liftosmeta"]
    assert ours["class"] == "airflow_provider_liftos.hooks.meta.MetaHook"


def test_connection_form_has_our_fields(installed: Environment) -> None:
    from airflow_provider_liftos.provider_info import get_provider_info

    (declared,) = [
        entry
        for entry in get_provider_info()["connection-types"]
        if entry["connection-type"] == "liftosmeta"
    ]
    form = installed.ask(FORM)
    assert form["hook"] == declared["hook-class-name"]
    assert form["testable"]
    assert set(form["fields"]) == set(declared["conn-fields"])
    assert form["behaviour"]["relabeling"] == declared["ui-field-behaviour"]["relabeling"]
    assert sorted(form["links"]) == sorted(get_provider_info()["extra-links"])


def test_a_connection_of_our_type_gives_our_hook(installed: Environment) -> None:
    connection = json.dumps({"conn_type": "liftosmeta", "extra": {"access_token": "t"}})
    path, conn_id = installed.ask(HOOK, AIRFLOW_CONN_SOME_META=connection)
    assert (path, conn_id) == ("airflow_provider_liftos.hooks.meta.MetaHook", "some_meta")


def test_options_have_their_defaults_in_airflows_configuration(installed: Environment) -> None:
    output = installed.run("airflow", "config", "get-value", "liftos", "poll_seconds")
    assert output.split()[-1] == "10"


def test_plugin_is_loaded_once(installed: Environment) -> None:
    plugins = json.loads(installed.run("airflow", "plugins", "--output", "json"))
    assert [plugin["name"] for plugin in plugins].count("liftos") == 1


def test_scaffold_writes_what_the_repository_holds(scaffolded: Path) -> None:
    for file in (ROOT / "dags").glob("*.py"):
        assert (scaffolded / file.name).read_bytes() == file.read_bytes()
    for file in (ROOT / "include").rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            written = scaffolded / "include" / file.relative_to(ROOT / "include")
            assert written.read_bytes() == file.read_bytes()


def test_scaffold_keeps_what_a_person_changed(installed: Environment, tmp_path: Path) -> None:
    (tmp_path / "meta.py").write_text("mine = True\n")
    with pytest.raises(AssertionError, match="yours differs"):
        installed.run("airflow", "liftos", "scaffold", tmp_path)
    assert (tmp_path / "meta.py").read_text() == "mine = True\n"
    installed.run("airflow", "liftos", "scaffold", tmp_path, "--force")
    assert (tmp_path / "meta.py").read_bytes() == (ROOT / "dags" / "meta.py").read_bytes()


def test_every_scaffolded_dag_can_be_imported(installed: Environment, scaffolded: Path) -> None:
    found = installed.ask(DAGBAG, scaffolded)
    assert found["errors"] == {}
    assert found["dags"] == sorted(f"liftos_{f.stem}" for f in (ROOT / "dags").glob("*.py"))


def test_init_of_compose_makes_the_connection_once(installed: Environment, tmp_path: Path) -> None:
    text = (ROOT / "include" / "compose" / "env.example").read_text()
    given = dict(re.findall(r"^(LIFTOS_\w+_CONNECTION)='(.*)'$", text, re.MULTILINE))
    env = installed.environment(
        **given,
        AIRFLOW_HOME=str(tmp_path),
        PATH=f"{installed.programs}:/usr/bin:/bin",
    )
    script = ["bash", str(ROOT / "include" / "compose" / "init.sh")]
    said = [
        subprocess.run(script, env=env, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert len(given) >= 3
    assert said[0].count("Imported connection liftos_") == len(given)
    assert said[1].count("connection already exists") == len(given)
