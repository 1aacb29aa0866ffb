"""Google Ads' hook: type ``liftosgoogleads``; also takes ``google_ads`` connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from airflow_provider_liftos.hooks.liftos import LiftosHook, pick
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.platforms.google_ads import decode, gaql, schema, wire
from airflow_provider_liftos.transport import hosts
from airflow_provider_liftos.transport.flow import Flow
from airflow_provider_liftos.transport.versions import anew

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from airflow_provider_liftos.model.platform import Credentials, Decoder
    from airflow_provider_liftos.platforms.google_ads.schema import Leaf

T = TypeVar("T")


class GoogleAdsHook(LiftosHook):
    """Google Ads through a user's refresh token or a service account."""

    conn_type = "liftosgoogleads"
    default_conn_name = "liftos_google_ads_default"
    hook_name = "Google Ads (liftos)"
    platform_name: ClassVar[str] = "google_ads"

    def search(self, query: str, customer_id: str) -> list[dict[str, Any]]:
        """Rows of a query to one account, by the names of its fields; blocks meanwhile.

        Fields are checked before anything is sent. For large answers take ``search_arrow``.
        """
        return self._search(
            query,
            customer_id,
            lambda _leaves, names, columns: [
                dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
            ],
            lambda _leaves, parts: [row for part in parts for row in part],
        )

    def search_arrow(self, query: str, customer_id: str) -> pa.Table:
        """The same as an Arrow table; columns are of the types that Google gives its fields."""
        import pyarrow as pa

        return self._search(query, customer_id, _batch, lambda leaves, parts: (
            pa.Table.from_batches(parts, schema=_arrow(leaves))
        ))  # fmt: skip

    def search_df(self, query: str, customer_id: str) -> pd.DataFrame:
        """The same as a DataFrame with Arrow types."""
        import pandas as pd

        table = self.search_arrow(query, customer_id)
        return table.to_pandas(types_mapper=pd.ArrowDtype)

    def _search(
        self,
        query: str,
        customer_id: str,
        make: Callable[[Sequence[Leaf], Sequence[str], decode.Columns], Any],
        join: Callable[[Sequence[Leaf], list[Any]], T],
    ) -> T:
        from airflow_provider_liftos.transport.client import HttpSender

        session, sender = self.session(lane=Lane.INTERACTIVE), HttpSender()
        names, customer = gaql.parse(query).fields, wire.digits(customer_id)

        def fields() -> tuple[Leaf, ...]:
            return tuple(schema.require(session.credentials.version, name) for name in names)

        def asked() -> Flow[T]:
            leaves = fields()
            reader = decode.Reader(leaves)

            def take(rows: Sequence[Any]) -> Sequence[Any]:
                return [make(leaves, names, reader.columns(rows))] if rows else ()

            reading = wire.stream(query, leaves, customer, session.credentials, take)
            parts = yield from session.stream(reading.request, lambda: _Kept(reading.decoder()))
            return join(leaves, parts)

        fields()
        try:
            (account,) = pick(self._seen(session, sender), [customer], self.platform)
            session.via[customer] = account.via
            return anew(session, asked, sender)
        finally:
            sender.close()

    def get_conn(self) -> Any:
        """The official library's ``GoogleAdsClient``, bound to our token, version and endpoint.

        It gives raw protobufs, sixteen times faster than the others. It knows neither retries nor
        our limits: extract by the operators. On loopback it speaks in clear, as the sandbox does.
        """
        credentials = self.credentials()
        schema.service(credentials.version)  # says what to install
        from google.ads.googleads.client import GoogleAdsClient

        endpoint = wire.endpoint(credentials)
        hosts.refuse(endpoint)
        kind = GoogleAdsClient if endpoint.startswith("grpcs://") else _in_clear(GoogleAdsClient)
        developer = credentials.secrets.get("developer_token")
        return kind(
            credentials=self._google(credentials),
            developer_token=developer.reveal() if developer else None,
            endpoint=endpoint.rpartition("://")[2],
            login_customer_id=wire.digits(credentials.options.get("login_customer_id")) or None,
            use_proto_plus=False,
            version=credentials.version,
        )

    def _google(self, credentials: Credentials) -> Any:
        """Credentials of Google's own kind, which renew themselves."""
        key = wire.key(credentials)
        uri = credentials.options.get("token_uri")
        hosts.refuse(str(uri or (key or {}).get("token_uri") or wire.TOKEN_URI))
        if key:
            from google.oauth2.service_account import Credentials as ServiceAccount

            return ServiceAccount.from_service_account_info(  # type: ignore[no-untyped-call]
                {"token_uri": wire.TOKEN_URI, **key, **({"token_uri": uri} if uri else {})},
                scopes=[wire.SCOPE],
                subject=credentials.options.get("impersonated_email") or None,
            )
        from google.oauth2.credentials import Credentials as User

        return User(  # type: ignore[no-untyped-call]
            None,
            refresh_token=credentials.secret("refresh_token"),
            client_id=credentials.options.get("client_id"),
            client_secret=credentials.secret("client_secret"),
            token_uri=uri or wire.TOKEN_URI,
        )


class _Kept(Generic[T]):
    """An intake that keeps what a decoder makes, of one attempt."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._parts: list[Any] = []

    def take(self, piece: bytes) -> None:
        self._parts += self._decoder.feed(piece)

    def finish(self) -> list[Any]:
        self._parts += self._decoder.end()
        return self._parts

    def close(self) -> None: ...


def _arrow(leaves: Sequence[Leaf]) -> pa.Schema:
    import pyarrow as pa

    types = {
        schema.Shape.INT: pa.int64(),
        schema.Shape.FLOAT: pa.float64(),
        schema.Shape.BOOL: pa.bool_(),
    }
    plain = [(leaf, types.get(leaf.shape, pa.string())) for leaf in leaves]
    return pa.schema(
        [(leaf.name, pa.list_(kind) if leaf.repeated else kind) for leaf, kind in plain]
    )


def _batch(leaves: Sequence[Leaf], _names: Sequence[str], columns: decode.Columns) -> Any:
    import pyarrow as pa

    wanted = _arrow(leaves)
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _in_clear(client: type) -> type:
    """The library's client for a server on loopback that speaks without TLS."""
    import importlib

    import grpc
    from google.ads.googleads import interceptors, util
    from google.auth.transport.grpc import AuthMetadataPlugin
    from google.auth.transport.requests import Request

    class ClearClient(client):  # type: ignore[misc]
        def get_service(self, name: str, version: str = "", *_: Any, **__: Any) -> Any:
            module = importlib.import_module(
                f"google.ads.googleads.{self.version or version}.services.services."
                f"{util.convert_upper_case_to_snake_case(name)}"
            )
            service = getattr(module, f"{name}Client")
            plugin = AuthMetadataPlugin(self.credentials, Request())  # type: ignore[no-untyped-call]
            calls = grpc.metadata_call_credentials(plugin)
            secure = grpc.composite_channel_credentials(grpc.local_channel_credentials(), calls)
            channel = grpc.intercept_channel(
                grpc.secure_channel(self.endpoint, secure),
                interceptors.MetadataInterceptor(
                    self.developer_token, self.login_customer_id, self.linked_customer_id
                ),
                interceptors.ExceptionInterceptor(
                    self.version or version, use_proto_plus=self.use_proto_plus
                ),
            )
            return service(transport=service.get_transport_class("grpc")(channel=channel))

    return ClearClient
