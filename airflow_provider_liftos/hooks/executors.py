"""Whether this deployment runs tasks on several hosts, as far as its configuration tells."""

from __future__ import annotations

import os

_ONE_HOST = frozenset({"LocalExecutor", "SequentialExecutor", "DebugExecutor"})
_SEVERAL = ("celery", "kubernetes", "edge", "ecs", "batch", "lambda")


def of_several_hosts() -> str:
    """The first executor that runs tasks on other hosts than the scheduler's; empty without one.

    Lists of executors, their aliases and those of teams are looked through. What carries another
    name is asked whether it is local; what cannot be asked is taken for one of several hosts.
    """
    from airflow.sdk.configuration import conf

    # The official chart tells the pod of a task that its executor was the local one.
    if os.environ.get("AIRFLOW_IS_K8S_EXECUTOR_POD"):
        return "KubernetesExecutor"
    configured = str(conf.get("core", "executor", fallback=""))
    teams = conf.getboolean("core", "multi_team", fallback=False)
    names = [name for part in configured.split(";") for name in _named(part, teams=teams)]
    return next((_shown(name) for name in names if not _local(name)), "")


def _named(part: str, *, teams: bool) -> list[str]:
    """The executors of ``team=Alias:Executor,...``; Airflow ignores teams that are not enabled."""
    team, equals, listed = part.rpartition("=")
    if equals and team.strip() and not teams:
        return []
    return [name.rpartition(":")[2].strip() for name in listed.split(",") if name.strip()]


def _shown(name: str) -> str:
    return name.rpartition(".")[2]


def _local(name: str) -> bool:
    shown = _shown(name)
    if shown in _ONE_HOST:
        return True
    if any(known in shown.lower() for known in _SEVERAL):
        return False
    return _says_so(name)


def _says_so(path: str) -> bool:
    """What an executor of somebody's own says of itself."""
    from importlib import import_module

    module, _, name = path.rpartition(".")
    try:
        return bool(getattr(import_module(module), name).is_local)
    except (ImportError, AttributeError, ValueError):
        return False
