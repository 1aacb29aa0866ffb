"""No route of the plugin answers a stranger."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from airflow_provider_liftos.plugins.api import create_app

APP = create_app()
ROUTES = [(method, route.path) for route in APP.routes for method in sorted(route.methods)]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_it_asks_who_is_there(method, path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080")
    address = path.replace(":path", "").replace("{", "").replace("}", "")
    answer = TestClient(APP).request(method, address, follow_redirects=False)
    if answer.is_redirect:  # a page: its reader is asked to sign in
        assert "/auth/login" in answer.headers["location"]
    else:
        assert answer.status_code == 401


def test_there_are_routes():
    assert len(ROUTES) > 3
