"""Connections to Google Ads as other tools have made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.platforms.google_ads.wire import digits, key

_OTHER_NAMES = {"keyfile_json": "keyfile_dict", "client_customer_id": "account_ids"}


def adopt(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a connection; ids without dashes.

    Airflow's Google provider keeps its ``google_ads`` connections under ``google_ads_client``, by
    the names of the library's configuration file. What is written beside that wins.
    """
    older = extra.get("google_ads_client")
    given = {name: value for name, value in extra.items() if name != "google_ads_client"}
    found = {**(older if isinstance(older, Mapping) else {}), **given}
    for theirs, ours in _OTHER_NAMES.items():
        if theirs in found:
            found.setdefault(ours, found.pop(theirs))
    if "endpoint" in found:
        found.setdefault("grpc_endpoint", found.pop("endpoint"))
    if isinstance(found.get("keyfile_dict"), Mapping):
        found["keyfile_dict"] = json.dumps(found["keyfile_dict"])
    for name in ("account_ids", "account_id"):
        value = found.get(name)
        if isinstance(value, (list, tuple)):
            found[name] = [digits(one) for one in value]
        elif value:
            found[name] = ",".join(digits(one) for one in str(value).split(","))
    return found


def project(credentials: Credentials) -> str:
    """The Cloud project, whose quota all its OAuth clients and service accounts share.

    A key says the project's name, and a client's id begins with its number: who uses both kinds
    has two limits for one project.
    """
    try:
        signer = key(credentials)
    except ConfigurationError:
        return ""  # it is said where a token is asked for
    if signer:
        return str(signer.get("project_id") or "")
    return str(credentials.options.get("client_id") or "").partition("-")[0]
