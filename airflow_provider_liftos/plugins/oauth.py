"""Routes of connecting: the button, the way to the platform and back, and what came of it.

Each asks for a logged-in user who may edit the connection. Airflow's own dependency for that looks
for ``connection_id`` in the path and, with teams, for JSON in the body; an answer from a platform
has neither, so the same question is put to the auth manager here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import anyio.to_thread
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.connection import Connection
from fastapi import APIRouter, FastAPI, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from airflow_provider_liftos.hooks import consent, stored
from airflow_provider_liftos.hooks.consent import Person
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError
from airflow_provider_liftos.plugins import oauth_pages as pages
from airflow_provider_liftos.plugins.hidden_query import HiddenQuery
from airflow_provider_liftos.state.oauth_states import reference

T = TypeVar("T")

_CALLBACK = "/oauth/callback"
_THREADS = 4
_TO_LOGIN = 303


class _Pages(APIRoute):
    """Refusals as pages: people come here, not programs."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The route, with words for whatever it raises."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            root = _root(request)
            try:
                return await answer(request)
            except LiftosError as error:
                refused = isinstance(error, ConfigurationError)
                return pages.problem(str(error), root, status=400 if refused else 502)
            except HTTPException as error:
                if error.status_code == 401 and request.method == "GET":
                    return _sign_in(request, root)
                return pages.problem(_words(error), root, status=error.status_code)

        return handler


router = APIRouter(route_class=_Pages)


def install(app: FastAPI) -> None:
    """Add the routes to the plugin's application."""
    app.include_router(router)
    app.add_middleware(HiddenQuery, path=_CALLBACK)


@router.get("/connect")
async def connect(request: Request, user: GetUserDep) -> Response:
    """Connections that the user may edit, each with its button."""
    if not may_edit(user, None):
        await _refuse(request, user, "connect")
    found = await _in_thread(
        lambda: [one for one in stored.listed() if may_edit(user, one.conn_id)]
    )
    return pages.connections(found, _root(request))


@router.post("/oauth/start")
async def start(
    request: Request, user: GetUserDep, connection_id: Annotated[str, Form()]
) -> Response:
    """Send the user's browser to the platform's page."""
    _refuse_foreign(request)
    if not await _in_thread(lambda: may_edit(user, connection_id)):
        await _refuse(request, user, "oauth/start", connection_id)
    person = _person(request, user)
    asked = await _in_thread(
        partial(consent.start, connection_id, person, redirect_uri=redirect_uri())
    )
    return RedirectResponse(asked.url, status_code=303, headers=_DISCREET)


@router.get(_CALLBACK)
async def callback(request: Request, user: GetUserDep) -> Response:
    """Take the platform's answer, then show what came of it at an address that holds no code."""
    answer = dict(request.query_params)
    person = _person(request, user)
    allowed = partial(may_edit, user)
    await _in_thread(partial(consent.finish, answer, person, may_edit=allowed))
    target = f"{_root(request)}/oauth/result/{reference(answer['state'])}"
    return RedirectResponse(target, status_code=303, headers=_DISCREET)


@router.get("/oauth/result/{digest}")
async def result(request: Request, digest: str, user: GetUserDep) -> Response:
    """What came of a consent, for who gave it."""
    found = await _in_thread(partial(consent.outcome, digest, _person(request, user).key))
    if found is None:
        raise HTTPException(404)
    return pages.connected(found, _root(request))


_DISCREET = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def redirect_uri() -> str:
    """Where platforms send people back: by the setting, never by what a request says of its host.

    Raises:
        ConfigurationError: the setting is empty.
    """
    base = _address()
    if not base:
        raise ConfigurationError(
            "Airflow does not know its own address",
            hint="Set [api] base_url to what people type into their browsers.",
        )
    return f"{base}/liftos{_CALLBACK}"


def _address() -> str:
    """What people type into their browsers; empty where nobody has set it."""
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def may_edit(user: Any, conn_id: str | None) -> bool:
    """Whether Airflow lets the user change this connection (None: connections at all)."""
    teams = conf.getboolean("core", "multi_team", fallback=False)
    team = Connection.get_team_name(conn_id) if teams and conn_id else None
    details = ConnectionDetails(conn_id=conn_id, team_name=team)
    manager = get_auth_manager()
    return bool(manager.is_authorized_connection(method="PUT", details=details, user=user))


def _refuse_foreign(request: Request) -> None:
    """403 for a form of another site: the cookie that comes with it says nothing of who sent it."""
    if request.headers.get("authorization"):
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise HTTPException(403, "This form was sent by another site.")
        return
    own = urlsplit(redirect_uri())
    if request.headers.get("origin") != f"{own.scheme}://{own.netloc}":
        raise HTTPException(403, "This form was sent by another site.")


async def _refuse(request: Request, user: Any, what: str, conn_id: str = "") -> NoReturn:
    """403, and who tried is written down."""
    await _in_thread(partial(consent.refused, what, _person(request, user), conn_id))
    raise HTTPException(403)


def _sign_in(request: Request, root: str) -> Response:
    """To the login and back, unless the way back would carry a code."""
    if request.url.path.endswith(_CALLBACK):
        words = "Your session has ended meanwhile. Sign in, and connect again."
        return pages.problem(words, root, status=401)
    above = root.removesuffix("/liftos")
    base = _address()
    # Without an address of its own a path must do: the request's word for its host is not taken.
    path = request.url.path.removeprefix(root)
    back = quote(f"{base}/liftos{path}" if base else f"{root}{path}")
    return RedirectResponse(f"{above}/api/v2/auth/login?next={back}", status_code=_TO_LOGIN)


def _words(error: HTTPException) -> str:
    known = {
        401: "Sign in to Airflow first.",
        403: "You may not edit this connection: it takes the right to edit connections.",
        404: "There is nothing to show here: it was another user's, or was forgotten.",
    }
    told = str(error.detail or "")
    usual = {"", "Not authenticated", "Forbidden", "Unauthorized", "Not Found"}
    return known.get(error.status_code, told) if told in usual else told


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _person(request: Request, user: Any) -> Person:
    where = request.client.host if request.client else "unknown"
    return Person(name=str(user.get_name()), id=str(user.get_id()), where=where)


_limiters: list[anyio.CapacityLimiter] = []


async def _in_thread(work: Callable[[], T]) -> T:
    """A few threads of our own: a platform that is slow to answer holds up no page of Airflow's."""
    if not _limiters:
        _limiters.append(anyio.CapacityLimiter(_THREADS))
    return await anyio.to_thread.run_sync(work, limiter=_limiters[0])
