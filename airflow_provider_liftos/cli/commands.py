"""``airflow liftos ...``: what Airflow's own command line learns from this provider.

Airflow's command line has no users of its own: whoever may run it on a host with the metadata
database and the settings may run these, for every organization. What they change is audited.
"""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command


def get_cli_commands() -> list[CLICommand]:
    """The command group; modules are loaded only when a command runs."""
    folder = Arg(("folder",), help="DAG folder of the cluster; created when missing")  # type: ignore[no-untyped-call]
    force = Arg(("--force",), help="overwrite files that differ", action="store_true")  # type: ignore[no-untyped-call]
    limit = Arg(("--limit",), help="how many entries (default 40)", type=int, default=40)  # type: ignore[no-untyped-call]
    org = Arg(("--org",), help="organization (default: default)", default="default")  # type: ignore[no-untyped-call]
    return [
        GroupCommand(
            name="liftos",
            help="Advertising data into the warehouse",
            subcommands=(
                ActionCommand(
                    name="scaffold",
                    help="Write the DAG files and include/ into a DAG folder",
                    func=_load("scaffold.scaffold"),
                    args=(folder, force),
                ),
                ActionCommand(
                    name="runs",
                    help="Show the run ledger",
                    func=_load("runs.runs"),
                    args=(limit, *_runs(), org),
                ),
                ActionCommand(
                    name="restatements",
                    help="How much past days moved after they were published",
                    func=_load("restatements.restatements"),
                    args=(*_restatements(), org),
                ),
                _configure(),
                _limits(org),
                ActionCommand(
                    name="connect",
                    help="Give a connection access, by consenting in a browser",
                    func=_load("connect.connect"),
                    args=_connect(),
                ),
                GroupCommand(
                    name="dead-letters",
                    help="What could not be processed: look at it, replay or discard it",
                    subcommands=_dead_letters(org),
                ),
                ActionCommand(
                    name="audit-log",
                    help="Who connected, refreshed, rotated, replayed or discarded what, and when",
                    func=_load("audit_log.audit_log"),
                    args=(limit, *_audit_log(), org),
                ),
                *_secrets(),
                ActionCommand(
                    name="campaign-report",
                    help="Campaigns with breakdowns, sums and warnings as JSON, per account",
                    func=_load("campaign_report.campaign_report"),
                    args=(*_campaign_report(), org),
                ),
            ),
        )
    ]


def _option(*names: str, **parts: Any) -> Arg:
    return Arg(names, **parts)  # type: ignore[no-untyped-call]


def _configure() -> ActionCommand:
    return ActionCommand(
        name="configure",
        help="Make connections of a YAML configuration and the environment",
        func=_load("configure.configure"),
        args=(_option("configuration", help="YAML file"),),
    )


def _limits(org: Arg) -> ActionCommand:
    return ActionCommand(
        name="limits",
        help="Where limits and circuit breakers stand",
        func=_load("limits.limits"),
        args=(_option("--json", help="as JSON", action="store_true"), org),
    )


def _connect() -> list[Arg]:
    return [
        _option("platform", help="such as meta"),
        _option(
            "--conn-id", help="connection; it has the app's id and secret (default: platform's)"
        ),
        _option(
            "--port", type=int, default=0, help="of this machine, for the answer; default: any"
        ),
        _option("--no-browser", help="only print the address to open", action="store_true"),
    ]


def _runs() -> list[Arg]:
    return [
        _option("--dag-id", help="only of this DAG"),
        _option("--run-id", help="only of this run"),
        _option("--status", help="only success, failed, partial, running, waiting, skipped ..."),
        _option("--json", help="everything, as JSON", action="store_true"),
    ]


def _dead_letters(org: Arg) -> tuple[ActionCommand, ...]:
    most = _option("--limit", help="how many letters (default 100)", type=int, default=100)
    filters = (
        _option("--platform", help="such as meta"),
        _option("--kind", help="slice, row or request"),
        most,
        org,
    )
    ids = "beginnings of ids, as list shows them"
    listed = (
        _option("--account", help="account id"),
        _option("--state", help="open, replaying, replayed, superseded, discarded, all"),
        _option("--json", help="as JSON", action="store_true"),
        _option("--csv", help="as CSV, safe to open in a spreadsheet", action="store_true"),
    )
    some, one = _option("ids", nargs="*", help=ids), _option("id", help="beginning of its id")
    reason = _option("--reason", help="why, for the audit log")
    given = _option("ids", nargs="+", help=ids)
    return tuple(
        ActionCommand(name=name, help=text, func=_load(f"dead_letters.{function}"), args=args)
        for name, function, text, args in (
            ("list", "show_all", "What is open, seen last first", (*filters, *listed)),
            ("show", "show", "All that is known of one letter", (one, org)),
            ("replay", "replay", "Try letters again, by a run of the DAG", (some, *filters)),
            ("discard", "discard", "Let letters go", (given, reason, org)),
        )
    )


def _audit_log() -> list[Arg]:
    return [
        _option("--action", help="only of this action, such as connected"),
        _option("--subject", help="only about this, usually a connection"),
        _option("--json", help="as JSON", action="store_true"),
    ]


def _restatements() -> list[Arg]:
    return [
        _option("--platform", help="such as meta"),
        _option("--account", help="account id"),
        _option("--since", help="first day, YYYY-MM-DD"),
        _option("--days", help="each day's moves instead of sums by age", action="store_true"),
        _option("--json", help="each day's moves, as JSON", action="store_true"),
    ]


def _secrets() -> tuple[ActionCommand, ...]:
    return (
        ActionCommand(
            name="rotate-keys",
            help="Seal what the store keeps secret with the newest key, or print a new one",
            func=_load("rotate_keys.rotate_keys"),
            args=_rotate_keys(),
        ),
        ActionCommand(
            name="import-credentials",
            help="Make connections of credential files and variables of older tools",
            func=_load("import_credentials.import_credentials"),
            args=_import_credentials(),
        ),
    )


def _rotate_keys() -> list[Arg]:
    return [
        _option("--new", help="only print a fresh key, and what to do", action="store_true"),
        _option("--drop-unreadable", help="give up what no key opens", action="store_true"),
    ]


def _import_credentials() -> list[Arg]:
    return [
        _option("folder", nargs="?", help="with a folder per organization (default: variables)"),
        _option("--dry-run", help="only say what would be done", action="store_true"),
        _option("--replace", help="change connections that are there", action="store_true"),
    ]


def _campaign_report() -> list[Arg]:
    return [
        _option("platform", help="such as meta"),
        _option("--account", action="append", help="account id; again for more (default: all)"),
        _option("--since", help="first day, YYYY-MM-DD"),
        _option("--until", help="last day, included"),
        _option("--last-days", type=int, default=7, help="without dates: the last published days"),
        _option("--warehouse-conn-id", help="default: the DuckDB file of [liftos] duckdb_path"),
        _option("--output", help="folder for one file per account (default: print)"),
    ]


def _load(path: str) -> Any:
    return lazy_load_command(f"airflow_provider_liftos.cli.{path}")
