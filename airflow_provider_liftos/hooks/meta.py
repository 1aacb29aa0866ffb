"""Meta's hook: connection type ``liftosmeta``; also takes ``facebook_social`` connections."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_liftos.hooks.liftos import LiftosHook
from airflow_provider_liftos.model.errors import ConfigurationError


class MetaHook(LiftosHook):
    """Meta's Marketing API through a system-user or long-lived token."""

    conn_type = "liftosmeta"
    default_conn_name = "liftos_meta_default"
    hook_name = "Meta Ads (liftos)"
    platform_name: ClassVar[str] = "meta"

    def get_conn(self) -> Any:
        """The official SDK's ``FacebookAdsApi``, bound to our token, host and API version.

        Pass it as ``api=`` to the SDK's objects; no global default is set. Needs the extra
        ``meta-sdk``. The SDK knows neither retries nor our limits: extract by the operators.
        """
        try:
            from facebook_business.api import FacebookAdsApi, FacebookSession
        except ImportError:
            raise ConfigurationError(
                "the Meta SDK is not installed",
                hint="pip install 'airflow-provider-liftos[meta-sdk]'",
            ) from None
        credentials = self.current()
        secret = credentials.secrets.get("app_secret")
        session = FacebookSession(
            app_id=credentials.options.get("app_id"),
            app_secret=secret.reveal() if secret else None,
            access_token=credentials.secret("access_token"),
            timeout=60,
        )
        session.GRAPH = credentials.base_url
        return FacebookAdsApi(session, api_version=credentials.version)
