"""The Airflow plugin: pages about runs, under Airflow's own authentication."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class LiftosPlugin(AirflowPlugin):
    """Loaded by every Airflow process; the application is built only where it is asked for."""

    name = "liftos"
    # Without a route of Airflow's it opens a tab: in a frame no platform lets anybody consent.
    external_views: list[dict[str, Any]] = [  # noqa: RUF012  as Airflow declares it
        {
            "name": "Connect platforms",
            "href": "liftos/connect",
            "destination": "nav",
            "category": "admin",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Our routes, mounted at ``/liftos``."""
        from airflow_provider_liftos.plugins.api import create_app

        return [{"app": create_app(), "url_prefix": "/liftos", "name": "liftos"}]
