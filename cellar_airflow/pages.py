"""The pages that Airflow's API server shows: all racks of a cellar, and one rack.

What they look like is `cellar_core.page`'s. Whoever may read Airflow's assets may read them, and nothing can be changed
through them. There is one address, and the query says what it shows: so all links are relative, behind any proxy.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_asset
from airflow.models import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from cellar_airflow.hook import DEFAULT_CONN_ID, CellarHook
from cellar_airflow.link import query
from cellar_core import Cellar, CellarError, page, report

log = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'self'",  # what else it forbids, the page says itself
    "X-Content-Type-Options": "nosniff",
}

app = FastAPI(
    title="Cellar",
    dependencies=[Depends(requires_access_asset(method="GET"))],
    openapi_url=None,  # it would be there for everybody
)


@app.get("/", response_class=HTMLResponse)
def show(
    user: GetUserDep, session: SessionDep, conn_id: str = DEFAULT_CONN_ID, rack: str = ""
) -> HTMLResponse:
    """The page of a rack, or of all racks of the cellar that a connection means."""
    links = partial(query, conn_id)
    back = links if rack else None
    try:
        cellar = _cellar(conn_id)
        if rack:
            text = page.rack(report.read(cellar, rack, most=page.RECORDS_MOST), links=links)
        else:
            others = _others(conn_id, user, session)
            text = page.racks(report.overview(cellar), links=links, where=conn_id, others=others)
    except (AirflowNotFoundException, CellarError) as error:
        return HTMLResponse(page.problem("This cannot be shown", str(error), links=back), 404, HEADERS)
    except Exception as error:
        log.exception("The cellar of connection %s cannot be read", conn_id)
        message = f"It failed with {type(error).__name__}; the log of Airflow's API server says more."
        return HTMLResponse(page.problem(f"{conn_id} does not answer", message, links=back), 502, HEADERS)
    return HTMLResponse(text, headers=HEADERS)


def _cellar(conn_id: str) -> Cellar:
    """The cellar of a connection; no other kind of connection is looked into, or told about."""
    hook = CellarHook(conn_id)
    with suppress(AirflowNotFoundException):  # the hook knows another way, or what to do
        if hook.get_connection(conn_id).conn_type != hook.conn_type:
            raise CellarError(f"There is no connection {conn_id!r} of type {hook.conn_type!r}.")
    try:
        return hook.cellar
    except ValueError as error:  # says which field is wrong, and quotes none
        raise CellarError(str(error)) from None


def _others(conn_id: str, user: BaseUser, session: Session) -> dict[str, str]:
    """The other connections of this type that *user* may see, each with the address of its page."""
    found = set(
        session.scalars(select(Connection.conn_id).where(Connection.conn_type == CellarHook.conn_type))
    )
    allowed = get_auth_manager().get_authorized_connections(user=user, session=session) if found else set()
    return {other: query(other) for other in sorted(found & allowed - {conn_id})}
