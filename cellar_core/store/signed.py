"""What S3 is asked for the bytes of payloads: by URLs that s3fs's own client signs, over its own connections.

A call of that client builds, signs and parses each request by its model of the service, which takes four times the
CPU of the request itself: with many small files that is most of a pull. Credentials, endpoint, proxy and certificates
stay those of the client. Each request is made once; what becomes of a failure is for the client's own calls to say.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from http import HTTPStatus
from operator import attrgetter
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cellar_core.payload import PIECE

if TYPE_CHECKING:
    import asyncio

    from fsspec.asyn import AsyncFileSystem

__all__ = ["Coming", "Signed"]

EXPIRES = 3600
"""Seconds that a URL is good for: it is used at once, but clocks differ."""
ROOM = 8
"""How many pieces of 1 MiB may have come before somebody takes them."""

_log = logging.getLogger(__name__)
_connections = attrgetter("_endpoint.http_session")


class Unusable(Exception):
    """The answer to a signed request is not what was hoped for."""


class Signed:
    """Requests for single objects of one bucket.

    Args:
        fs: A file system of s3fs.
        bucket: The bucket.
    """

    def __init__(self, fs: AsyncFileSystem, bucket: str) -> None:
        self.fs = fs
        self._bucket = bucket
        self._client: Any = None
        # What these add to each request would have to be signed too.
        self._allowed = not (fs.req_kw or fs.s3_additional_kwargs)

    async def put(self, name: str, data: bytes) -> int:
        """Send a whole object; how many bytes it has."""
        async with self._answer("put_object", name, HTTPStatus.OK, method="PUT", headers={}, body=data):
            return len(data)

    async def get(self, name: str, start: int, end: int) -> bytes:
        """The bytes of an object from *start* on and before *end*."""
        async with self._body(name, start, end) as body:
            data: bytes = await body.read()
            return data

    async def stream(self, name: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """The same in pieces of about 1 MiB."""
        async with self._body(name, start, end) as body:
            came: list[bytes] = []
            size = 0
            async for some in body.content.iter_any():
                came.append(some)
                size += len(some)
                if size >= PIECE:
                    yield b"".join(came)
                    came, size = [], 0
            yield b"".join(came)

    def _body(self, name: str, start: int, end: int) -> AbstractAsyncContextManager[Any]:
        headers = {"Range": f"bytes={start}-{end - 1}"}
        return self._answer(
            "get_object", name, HTTPStatus.PARTIAL_CONTENT, method="GET", headers=headers, body=b""
        )

    @asynccontextmanager
    async def _answer(
        self, operation: str, name: str, hoped: HTTPStatus, **request: object
    ) -> AsyncIterator[Any]:
        if not self._allowed:
            raise Unusable
        client = await self._connected()
        url = await client.generate_presigned_url(
            operation, Params={"Bucket": self._bucket, "Key": name}, ExpiresIn=EXPIRES
        )
        answer = await _connections(client).send(SimpleNamespace(url=url, stream_output=True, **request))
        try:
            if answer.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
                self._allowed = False  # a policy may forbid signed URLs
            if answer.status_code != hoped:
                raise Unusable
            yield answer.raw
        finally:
            answer.raw.close()

    async def _connected(self) -> Any:
        await self.fs.set_session()
        client = await self.fs.get_s3(self._bucket)
        if client is not self._client:
            client.meta.events.register_first("choose-signer.s3", _same_version, unique_id=__name__)
            self._client = client
        return client


def _same_version(signature_version: object, **_: object) -> object:
    """Sign a URL as any other request: botocore would take an older version for it, which AWS may refuse."""
    return "s3v4" if signature_version in {"v4-query", "s3v4-query"} else None


class Coming:
    """Bytes that are on their way: fetched on the loop of a file system, a few pieces ahead of whoever reads them.

    Args:
        pieces: What fetches them.
        loop: Where it can.
        rest: What gives the bytes after the first so many, if that fails.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        loop: asyncio.AbstractEventLoop,
        rest: Callable[[int], Iterator[bytes]],
    ) -> None:
        self._loop = loop
        self._rest = rest
        import asyncio

        self._room = asyncio.Semaphore(ROOM)
        self._came: SimpleQueue[bytes | None] = SimpleQueue()
        self._future = asyncio.run_coroutine_threadsafe(self._fetch(pieces), loop)

    async def _fetch(self, pieces: AsyncGenerator[bytes]) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await self._room.acquire()
                    self._came.put(piece)
        finally:
            self._came.put(None)

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        while (piece := self._came.get()) is not None:
            self._loop.call_soon_threadsafe(self._room.release)
            count += len(piece)
            yield piece
        if error := self._future.exception():
            _log.debug("no signed URL gave the bytes from %d on: %r", count, type(error))
            yield from self._rest(count)

    def cancel(self) -> None:
        """Nobody reads on."""
        self._future.cancel()
