"""``airflow liftos ...``: what Airflow's own command line learns from this provider."""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command


def get_cli_commands() -> list[CLICommand]:
    """The command group; modules are loaded only when a command runs."""
    folder = Arg(("folder",), help="DAG folder of the cluster; created when missing")  # type: ignore[no-untyped-call]
    force = Arg(("--force",), help="overwrite files that differ", action="store_true")  # type: ignore[no-untyped-call]
    limit = Arg(("--limit",), help="how many entries (default 40)", type=int, default=40)  # type: ignore[no-untyped-call]
    configuration = Arg(("configuration",), help="YAML file")  # type: ignore[no-untyped-call]
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
                    args=(limit, org),
                ),
                ActionCommand(
                    name="connect",
                    help="Make connections of a YAML configuration and the environment",
                    func=_load("connect.connect"),
                    args=(configuration,),
                ),
                ActionCommand(
                    name="campaign-report",
                    help="Campaigns with breakdowns, sums and warnings as JSON, per account",
                    func=_load("campaign_report.campaign_report"),
                    args=(*_campaign_report(), org),
                ),
            ),
        )
    ]


def _campaign_report() -> list[Arg]:
    def option(*names: str, **parts: Any) -> Arg:
        return Arg(names, **parts)  # type: ignore[no-untyped-call]

    return [
        option("platform", help="such as meta"),
        option("--account", action="append", help="account id; again for more (default: all)"),
        option("--since", help="first day, YYYY-MM-DD"),
        option("--until", help="last day, included"),
        option("--last-days", type=int, default=7, help="without dates: the last published days"),
        option("--warehouse-conn-id", help="default: the DuckDB file of [liftos] duckdb_path"),
        option("--output", help="folder for one file per account (default: print)"),
    ]


def _load(path: str) -> Any:
    return lazy_load_command(f"airflow_provider_liftos.cli.{path}")
