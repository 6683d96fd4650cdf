"""A proxy before a server: it counts what is asked, and loses answers or gives its own when a test wants it to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

HOP = ("Transfer-Encoding", "Connection", "Expect")
"""Headers that speak of one connection only."""
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that a client would add: a signature may speak of them."""
HEAD_OF_BODY = 1000
"""How many bytes of a body are looked at: Google's uploads name their object there."""


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        method: The method.
        text: The path with the query, and for a POST the begin of its body, unquoted.
        path: The path with the query, as it was sent.
        headers: What came with it.
    """

    method: str
    text: str
    path: str
    headers: Mapping[str, str]

    @property
    def agent(self) -> str:
        """What says that it has asked."""
        return self.headers.get("User-Agent", "")

    def is_for(self, method: str, part: str) -> bool:
        """Whether it has this method, or one of these (``PUT|POST``), and mentions *part*, or is by it."""
        return self.method in method.split("|") and (part in self.text or part in self.agent)


@dataclass
class Fault:
    """What shall go wrong: the connection is cut if there is no *status* to answer with."""

    method: str
    part: str
    times: int
    after: int = 0
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: str = ""
    done: bool = False
    torn: bool = False

    def meets(self, request: Request) -> bool:
        """Whether *request* is one that goes wrong; it is counted."""
        if not self.times or not request.is_for(self.method, self.part):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


class Proxy:
    """Runs inside a ``with`` block, in a thread of its own.

    Args:
        port: Where the server listens on 127.0.0.1.

    Attributes:
        port: Where the proxy listens on 127.0.0.1.
        asked: The requests so far.
    """

    def __init__(self, port: int) -> None:
        self.asked: list[Request] = []
        self._server = f"http://127.0.0.1:{port}"
        self._faults: list[Fault] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def lose(self, method: str, part: str = "", times: int = 1, after: int = 0) -> None:
        """Let *times* such requests *after* so many be done, but cut the connection before their answers."""
        self._faults.append(Fault(method, part, times, after, done=True))

    def refuse(
        self,
        status: int,
        method: str,
        part: str = "",
        times: int = 1,
        *,
        body: str = "",
        done: bool = False,
        **headers: str,
    ) -> None:
        """Answer the next such requests with *status*; the server hears of them only if they are to be *done*."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.append(Fault(method, part, times, status=status, headers=named, body=body, done=done))

    def tear(self, method: str, part: str = "", times: int = 1) -> None:
        """Cut the connection in the middle of the answers to the next such requests."""
        self._faults.append(Fault(method, part, times, done=True, torn=True))

    def count(self, method: str, part: str = "") -> int:
        """How many such requests there were."""
        return sum(request.is_for(method, part) for request in self.asked)

    def reset(self) -> None:
        """Forget the requests so far, and the faults that nobody met."""
        self.asked.clear()
        self._faults.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(120)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=AUTOMATIC) as self._session:
            app = web.Application(client_max_size=2**30)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        start = body[:HEAD_OF_BODY].decode(errors="replace") if request.method == "POST" else ""
        asked = Request(request.method, unquote(request.raw_path) + start, request.raw_path, request.headers)
        self.asked.append(asked)
        fault = next((fault for fault in self._faults if fault.meets(asked)), None)
        if fault and not fault.done:
            return web.Response(status=fault.status or 500, headers=fault.headers, text=fault.body)
        response = await self._pass_on(request, body)
        if fault and fault.status:
            return web.Response(status=fault.status)
        if fault and fault.torn:
            torn = web.StreamResponse(status=response.status, headers=response.headers)
            await torn.prepare(request)
            await torn.write(cast("bytes", response.body)[: len(cast("bytes", response.body)) // 2])
        if fault and request.transport:
            request.transport.abort()
        return response

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        async with self._session.request(
            request.method,
            self._server + request.raw_path,
            headers=_kept(CIMultiDict(request.headers)),  # Host stays what the client has signed
            data=body or None,
            allow_redirects=False,
        ) as answer:
            headers = _kept(CIMultiDict(answer.headers))
            return web.Response(status=answer.status, headers=headers, body=await answer.read())


def _kept(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    for name in HOP:
        headers.popall(name, None)
    return headers
