"""What Airflow's provider discovery reads. Runs in every Airflow process: declarations only."""

from __future__ import annotations

from typing import Any

from airflow_provider_liftos import __version__

_PACKAGE = "airflow-provider-liftos"


def get_provider_info() -> dict[str, Any]:
    """Provider information: connection types from the platforms, options from one table."""
    from airflow_provider_liftos.hooks.config import OPTIONS
    from airflow_provider_liftos.hooks.registry import path
    from airflow_provider_liftos.platforms import discover

    platforms = discover()
    return {
        "package-name": _PACKAGE,
        "name": "liftos",
        "description": "Advertising, commerce, CRM and payment data into a warehouse, checked"
        " before it is published; conversions back.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": platform.title,
                "external-doc-url": platform.documentation,
                "tags": ["service"],
            }
            for platform in platforms
        ],
        "hooks": [
            {
                "integration-name": platform.title,
                "python-modules": [path(platform).rpartition(".")[0]],
            }
            for platform in platforms
        ],
        "connection-types": [_connection_type(platform, path(platform)) for platform in platforms],
        "extra-links": [
            "airflow_provider_liftos.operators.links.AdsManagerLink",
            "airflow_provider_liftos.operators.links.RunLedgerLink",
            "airflow_provider_liftos.operators.links.QualityReportLink",
        ],
        "config": {
            "liftos": {
                "description": "Settings of airflow-provider-liftos.",
                "options": {
                    option.name: {
                        "description": option.description,
                        "version_added": "0.1.0",
                        "type": option.kind,
                        "example": None,
                        "default": option.default,
                        "sensitive": option.secret,
                    }
                    for option in OPTIONS
                },
            }
        },
        "cli": ["airflow_provider_liftos.cli.commands.get_cli_commands"],
        "plugins": [
            {"name": "liftos", "plugin-class": "airflow_provider_liftos.plugins.LiftosPlugin"}
        ],
    }


_GENERAL = {
    "org_id": {
        "label": "Organization",
        "description": "Keeps limits and rows of organizations apart. Empty: default.",
        "schema": {"type": ["string", "null"]},
    },
    "api_version": {
        "label": "API version",
        "description": "Empty: the newest this provider knows.",
        "schema": {"type": ["string", "null"]},
    },
    "fallback_version": {
        "label": "Fallback version",
        "description": "API version to speak when that one is switched off. Empty: the newest.",
        "schema": {"type": ["string", "null"]},
    },
    "concurrent_requests": {
        "label": "Requests in flight",
        "description": "How many at once, of all workers together. Empty: any number.",
        "schema": {"type": ["integer", "null"]},
    },
    "concurrent_requests_per_account": {
        "label": "Requests in flight per account",
        "description": "The same for each account.",
        "schema": {"type": ["integer", "null"]},
    },
    "is_mock": {
        "label": "Invented rows",
        "description": "A sandbox is behind it: rows are marked, and kept in schema liftos_mock.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "allow_insecure": {
        "label": "Allow plain http",
        "description": "Only for hosts other than loopback; the token would travel in clear.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}


def _connection_type(platform: Any, hook: str) -> dict[str, Any]:
    fields = {field.name: _field(field) for field in platform.conn_fields}
    return {
        "connection-type": platform.conn_type,
        "hook-class-name": hook,
        "hook-name": f"{platform.title} (liftos)",
        "ui-field-behaviour": {
            "hidden-fields": ["port", "schema", "login", "password"],
            "relabeling": {"host": "Base URL"},
            "placeholders": {"host": platform.base_url},
        },
        "conn-fields": fields | _GENERAL,
    }


def _field(field: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [field.kind, "null"]}
    if field.secret:
        schema["format"] = "password"
    if field.default is not None:
        schema["default"] = field.default
    return {"label": field.label, "description": field.description, "schema": schema}
