from __future__ import annotations

from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore


def test_entries_come_newest_first_and_stay_with_their_organization(tmp_path):
    clock = ManualClock(1000.0)
    store = StateStore(f"sqlite:///{tmp_path}/state.db", clock)
    log = AuditLog(store, "one")
    log.note("anna", "connected", "liftos_meta_default", {"scopes": ["ads_read"]})
    clock.advance(5)
    log.note("worker-1", "refreshed", "liftos_meta_default")
    AuditLog(store, "two").note("ben", "connected", "liftos_meta_default")

    found = log.entries()

    assert [(entry.actor, entry.action, entry.created_at) for entry in found] == [
        ("worker-1", "refreshed", 1005.0),
        ("anna", "connected", 1000.0),
    ]
    assert found[1].detail == {"scopes": ["ads_read"]}
    assert [entry.actor for entry in log.entries(action="connected")] == ["anna"]
