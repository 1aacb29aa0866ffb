"""A report as a DataFrame: the engine run to its end, with no Airflow task around it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.errors import LiftosError
from airflow_provider_liftos.model.report import Report, Window
from airflow_provider_liftos.model.wire import Lane

if TYPE_CHECKING:
    import pandas as pd

    from airflow_provider_liftos.hooks.liftos import LiftosHook


def frame(
    hook: LiftosHook, report: Report, *, since: str, until: str, accounts: Sequence[str]
) -> pd.DataFrame:
    """Submit, wait, fetch, unify; dates are both inclusive, in the accounts' own zones."""
    import pandas as pd
    import pyarrow.parquet as pq

    from airflow_provider_liftos.engine import plan
    from airflow_provider_liftos.engine.checkpoint import Checkpoints
    from airflow_provider_liftos.engine.extraction import Extraction, Finished
    from airflow_provider_liftos.engine.normalize import Normalizer
    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.hooks.liftos import pick
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.transport.client import HttpSender

    platform, credentials = hook.platform, hook.credentials()
    session = hook.session(credentials, lane=Lane.INTERACTIVE)  # somebody waits
    found = hook.accounts()
    chosen = pick(found, accounts, platform) if accounts else found
    window = Window(since=date.fromisoformat(since), until=date.fromisoformat(until))
    cuts = plan.slices(platform, [(a, window) for a in chosen], [report], [], platform.slice_days)
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(f"sqlite:///{Path(folder) / 'state.db'}")
        extraction = Extraction(
            session=session,
            sender=HttpSender(),
            checkpoints=Checkpoints(store, credentials.org_id, "frame"),
            staging=Staging(folder),
            accounts={account.account_id: account for account in chosen},
            load_id="frame",
            is_mock=credentials.is_mock,
        )
        outcome = extraction.advance(cuts)
        while not isinstance(outcome, Finished):
            time.sleep(config.number("poll_seconds"))
            outcome = extraction.advance(cuts)
        normalizer = Normalizer(
            platform=platform,
            staging=extraction.staging,
            reject=lambda _cut, _rows: None,
            options=conversion_options(credentials.options),
            restatement_days=config.restatement_days(platform),
        )
        manifest = normalizer.normalize(outcome.manifest)
        store.close()
        if manifest.failed:
            raise LiftosError(manifest.failed[0].error, platform=platform.name)
        files = [file.path for cut in manifest.slices for file in cut.staged]
        if not files:
            return pd.DataFrame()
        return pq.read_table(files).to_pandas(types_mapper=pd.ArrowDtype)


def conversion_options(options: object) -> dict[str, object]:
    """``conversion_actions`` of a connection: events by commas, alternatives by ``|``."""
    value = options.get("conversion_actions") if isinstance(options, dict) else None
    if not value:
        return {}
    events = value if isinstance(value, list) else str(value).split(",")
    return {"conversion_actions": [[a.strip() for a in str(e).split("|")] for e in events]}
