"""The page "Cellar" in Airflow's navigation.

Airflow loads plugins in each of its processes, so there is next to nothing here: the pages are imported in the API
server alone, by the first request for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from cellar_airflow.settings import PAGES

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%23d0587f'"
    " stroke-width='2' stroke-linejoin='round'%3E%3Cpath d='M10 2h4v6q4 2 4 6v8H6v-8q0-4 4-6zM6 14h12v5H6z'/%3E"
    "%3C/svg%3E"
)
"""A bottle, in a colour that is seen on a light, a dark and a chosen entry."""


async def pages(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """The pages, as an ASGI application."""
    from cellar_airflow.pages import app

    await app(scope, receive, send)


class CellarPlugin(AirflowPlugin):
    """Mounts the pages, and puts them into the navigation."""

    name = "cellar"
    fastapi_apps = [{"name": "cellar", "app": pages, "url_prefix": f"/{PAGES}"}]  # noqa: RUF012  Airflow's own form
    external_views = [  # noqa: RUF012
        {
            "name": "Cellar",
            "href": f"{PAGES}/",  # no slash before it, so that it is right behind a proxy's prefix as well
            "destination": "nav",
            "nav_top_level": True,
            "url_route": PAGES,
            "icon": ICON,
        }
    ]
