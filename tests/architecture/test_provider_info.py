"""What Airflow's discovery reads is valid by Airflow's own schemas, and true."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_provider_liftos
from airflow_provider_liftos.hooks.config import OPTIONS
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.platforms import discover
from airflow_provider_liftos.provider_info import get_provider_info

# Airflow's release tooling writes these two into a provider.yaml; they say nothing at run time.
BUILD_FACTS = {"state": "ready", "source-date-epoch": 0}

platforms = pytest.mark.parametrize("platform", discover(), ids=lambda p: p.name)


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    return get_provider_info()


def schema(name: str) -> dict[str, Any]:
    spec = find_spec("airflow")
    assert spec
    assert spec.submodule_search_locations
    for folder in spec.submodule_search_locations:
        if (file := Path(folder) / name).exists():
            found: dict[str, Any] = json.loads(file.read_text())
            return found
    raise AssertionError(f"Airflow ships no {name}")


def resolve(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def class_paths(info: dict[str, Any]) -> Iterator[str]:
    yield from (connection["hook-class-name"] for connection in info["connection-types"])
    yield from info["extra-links"]
    yield from info["cli"]
    yield from (plugin["plugin-class"] for plugin in info["plugins"])


def test_it_obeys_the_run_time_schema(info: dict[str, Any]) -> None:
    jsonschema.validate(info, schema("provider_info.schema.json"))


def test_it_obeys_the_strict_schema_of_airflows_own_providers(info: dict[str, Any]) -> None:
    jsonschema.validate(info | BUILD_FACTS, schema("provider.yaml.schema.json"))


def test_every_path_in_it_can_be_imported(info: dict[str, Any]) -> None:
    for path in class_paths(info):
        assert callable(resolve(path)), path
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info.get(kind, ()):
            for module in entry["python-modules"]:
                importlib.import_module(module)


def test_every_module_belongs_to_an_integration(info: dict[str, Any]) -> None:
    named = {entry["integration-name"] for entry in info["integrations"]}
    for kind in ("hooks", "operators", "sensors", "triggers"):
        assert {entry["integration-name"] for entry in info.get(kind, ())} <= named


def test_package_name_and_version_are_the_distributions(info: dict[str, Any]) -> None:
    assert info["package-name"] == "airflow-provider-liftos"
    assert info["versions"][0] == airflow_provider_liftos.__version__


def test_entry_points_lead_to_it(info: dict[str, Any]) -> None:
    (provider,) = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.module.startswith("airflow_provider_liftos")
    ]
    (plugin,) = entry_points(group="airflow.plugins", name="liftos")
    assert provider.load()() == info
    assert plugin.value.replace(":", ".") == info["plugins"][0]["plugin-class"]


def test_it_is_plain_json(info: dict[str, Any]) -> None:
    assert json.loads(json.dumps(info)) == info


def test_every_option_is_declared_with_a_description(info: dict[str, Any]) -> None:
    options = info["config"]["liftos"]["options"]
    assert set(options) == {option.name for option in OPTIONS}
    assert [name for name, option in options.items() if not option["description"]] == []


@platforms
def test_hook_attributes_match_the_declaration(platform: Platform, info: dict[str, Any]) -> None:
    (connection,) = [
        c for c in info["connection-types"] if c["connection-type"] == platform.conn_type
    ]
    hook = resolve(connection["hook-class-name"])
    assert hook.conn_type == platform.conn_type
    assert hook.hook_name == connection["hook-name"]
    assert hook.platform_name == platform.name
    assert hook.default_conn_name == f"liftos_{platform.name}_default"
    assert hook.conn_name_attr in inspect.signature(hook.__init__).parameters
    assert callable(hook.test_connection)
    assert "_" not in platform.conn_type


@platforms
def test_secret_fields_carry_a_word_that_airflow_masks(platform: Platform) -> None:
    words = (
        "password",
        "passphrase",
        "private_key",
        "secret",
        "token",
        "api_key",
        "apikey",
        "keyfile_dict",
    )
    assert [
        field.name
        for field in platform.conn_fields
        if field.secret and not any(word in field.name for word in words)
    ] == []
    form = get_provider_info()["connection-types"]
    (fields,) = [c["conn-fields"] for c in form if c["connection-type"] == platform.conn_type]
    hidden = {name for name, field in fields.items() if field["schema"].get("format") == "password"}
    assert hidden == {field.name for field in platform.conn_fields if field.secret}


@platforms
def test_every_field_may_stay_empty_and_explains_itself(platform: Platform) -> None:
    form = get_provider_info()["connection-types"]
    (fields,) = [c["conn-fields"] for c in form if c["connection-type"] == platform.conn_type]
    for name, field in fields.items():
        assert "null" in field["schema"]["type"], name
        assert field["label"], name
        assert field["description"], name
