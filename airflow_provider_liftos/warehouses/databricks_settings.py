"""A session's configuration, and the tags by which Databricks tells costs apart.

Tags are a preview, and not in every workspace: Databricks then opens no session, and names the
configuration that it does not know. Source: its pages on query tags and on error conditions
(``CONFIG_NOT_AVAILABLE``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

TAGS = "QUERY_TAGS"
"""In a connection's own configuration: further tags; null or empty: none at all."""

_FIXED = {"TIMEZONE": "UTC", "ANSI_MODE": "true"}
# As Airflow's own operators for Databricks name them, and where Airflow says it to a task.
_TASK = {
    "airflow_dag_id": "AIRFLOW_CTX_DAG_ID",
    "airflow_task_id": "AIRFLOW_CTX_TASK_ID",
    "airflow_run_id": "AIRFLOW_CTX_DAG_RUN_ID",
}
_LONGEST = 128  # characters of a tag's value
_BETWEEN = re.compile(r"(?<!\\),")
_UNKNOWN = re.compile(rf"CONFIG_NOT_AVAILABLE.*{TAGS}", re.IGNORECASE | re.DOTALL)


def settings(given: Mapping[str, str | None] | None, *, tags: bool = True) -> dict[str, str]:
    """A session's configuration: the connection's, and what results depend on.

    Without ``tags`` there are none, whatever the connection says. Names may be of any case.
    """
    named = {name.upper(): (name, value) for name, value in (given or {}).items()}
    _, more = named.pop(TAGS, ("", "app:liftos"))
    found = {name: str(value) for key, (name, value) in named.items() if key not in _FIXED}
    if tags and more:
        found[TAGS] = _tagged(more)
    return found | _FIXED


def _tagged(given: str) -> str:
    """Tags with those of the task that is under way; what is given goes first, and wins."""
    keys = {part.partition(":")[0].strip() for part in _BETWEEN.split(given)}
    own = {"app": "liftos"} | {key: os.environ.get(name, "") for key, name in _TASK.items()}
    more = [f"{key}:{_escaped(value)}" for key, value in own.items() if value and key not in keys]
    return ",".join([given, *more])


def _escaped(value: str) -> str:
    return re.sub(r"([\\,:])", r"\\\1", value[:_LONGEST])


def refuses_tags(error: Exception) -> bool:
    """Whether the workspace knows no tags."""
    return bool(_UNKNOWN.search(str(error)))
