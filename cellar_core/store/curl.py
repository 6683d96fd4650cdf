"""How payloads get to S3 and back, and how it is listed: by libcurl, which asks as s3fs's client does.

A call of that client builds, signs and parses each request in Python, and where there is no TLS it digests once more
what it sends: with many small files that is most of a transfer, and a page of a listing takes a tenth of a second.
libcurl does it in C, while other threads go on, and does not mind forks. Addresses, credentials, certificates and
patience stay those of the client. Each request is made once; what becomes of a failure is for the client's calls to
say, and they do everything where there is no pycurl.
"""

from __future__ import annotations

import logging
import re
import weakref
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote_plus, urlencode, urlsplit
from xml.etree import ElementTree

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem
    from pycurl import Curl

__all__ = ["Transfers", "Unusable"]

FRESH = 60.0
"""Seconds for which credentials are used again: the client renews them some minutes before they end."""
AT_ONCE = 2**18
"""How many bytes are read from a connection at once."""
SIGNING = "before-sign.s3"
"""The event before botocore signs a call."""
SIGNS_A_PLUS = 0x081700
"""The libcurl that is known to sign a plus in a query, as a listing's token may have; 8.16 takes it for a space."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Unusable(Exception):
    """A request was not made, or not answered as hoped: a call of the client may be, or tells what is wrong."""


class _Call(NamedTuple):
    """How the client made a call: after it was sent to the right region, if it did not know that."""

    origin: str
    region: str
    version: object
    signer: Any


class _Watch:
    """Sees how the client makes its calls.

    It knows nothing else: s3fs keeps a client until its file system is gone, so what a client knows must not know that.
    """

    def __init__(self) -> None:
        self.latest: _Call | None = None

    def see(
        self, request: Any, region_name: str, signature_version: object, request_signer: Any, **_: object
    ) -> None:
        if not request.context.get("is_presign_request"):
            url = urlsplit(request.url)
            region = request.context.get("signing", {}).get("region", region_name)
            self.latest = _Call(f"{url.scheme}://{url.netloc}", region, signature_version, request_signer)


@dataclass(frozen=True)
class _Access:
    """How objects are asked for.

    Attributes:
        url: What the name of an object is appended to.
        options: Those of libcurl by name; by some of them it signs.
        until: When to look at the client again, by ``time.monotonic``.
    """

    url: str
    options: Mapping[str, Any]
    until: float


class Transfers:
    """Requests for the objects of one bucket, from any thread.

    Args:
        fs: A file system of s3fs.
        bucket: The bucket.
    """

    def __init__(self, fs: AsyncFileSystem, bucket: str) -> None:
        self._fs = fs
        self._bucket = bucket
        self._watch = _Watch()
        self._access: _Access | None = None
        self._idle: deque[Curl] = deque()  # each keeps its connection
        # What the latter two add to a request is for s3fs to know.
        self._allowed = bool(find_spec("pycurl")) and not (fs.req_kw or fs.s3_additional_kwargs)
        if not self._allowed:
            _log.debug("s3fs carries the files: there is no pycurl, or it adds to each request")
        self._client = self._wait(self._watched())

    def get(self, name: str, start: int, end: int, room: memoryview) -> memoryview:
        """The bytes of an object from *start* on and before *end*, put into *room*; raises Unusable."""
        count = 0

        def take(some: bytes) -> int:
            nonlocal count
            begun, count = count, count + len(some)
            if count > len(room):  # not what was asked for
                return 0
            room[begun:count] = some
            return len(some)

        self._ask(name, HTTPStatus.PARTIAL_CONTENT, RANGE=f"{start}-{end - 1}", WRITEFUNCTION=take)
        return room[:count]

    def put(self, name: str, data: bytes, **part: object) -> str:
        """Send an object, or a *part* of an upload; its ETag. Raises Unusable."""
        headers: list[bytes] = []
        body = {"CUSTOMREQUEST": "PUT", "POSTFIELDS": data}
        answer = {"HEADERFUNCTION": headers.append, "WRITEFUNCTION": len}
        self._ask(name, HTTPStatus.OK, part, **body, **answer)
        if not (tag := re.search(rb"(?im)^etag:\s*(\S+)", b"".join(headers))):
            raise Unusable
        return tag[1].decode()

    def list(self, prefix: str, after: str | None = None) -> dict[str, Any]:
        """What the client's ``list_objects_v2`` answers, but for what nobody here asks; raises Unusable.

        Args:
            prefix: What the names of the objects begin with.
            after: The token for the next page, if it is not the first one.
        """
        query = {"continuation-token": after} if after else {}
        query |= {"encoding-type": "url", "list-type": "2", "prefix": prefix}  # sorted, as they are signed
        body = BytesIO()
        self._ask("", HTTPStatus.OK, query, WRITEFUNCTION=body.write)
        try:
            return _page(ElementTree.fromstring(body.getvalue()))  # noqa: S314 - by it botocore parses the same
        except (ElementTree.ParseError, ValueError) as error:
            raise Unusable from error

    def _ask(
        self, name: str, hoped: HTTPStatus, query: Mapping[str, object] | None = None, **options: object
    ) -> None:
        """Make a request, with more of libcurl's options."""
        access = self._current()
        import pycurl

        if query and "+" in "".join(map(str, query.values())) and pycurl.version_info()[2] < SIGNS_A_PLUS:
            raise Unusable
        try:
            curl = self._idle.pop()
        except IndexError:
            curl = pycurl.Curl()
        try:
            url = f"{access.url}{quote(name, safe='/~')}"
            if query:
                url += f"?{urlencode(query, quote_via=quote)}"  # for its signature, a space is no plus
            for option, value in {**access.options, **options, "URL": url}.items():
                curl.setopt(getattr(pycurl, option), value)
            curl.perform()
            status = curl.getinfo(pycurl.RESPONSE_CODE)
        except pycurl.error as error:
            _log.debug("libcurl could not ask %s for %s: %s", access.url, name, error)
            raise Unusable from error
        finally:
            curl.reset()  # lets go of the bytes
            self._idle.append(curl)
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
            self._allowed = False  # as will be the next: a policy may want the digest of all that is sent
        if status != hoped:
            _log.debug("%s answered libcurl %d for %s", access.url, status, name)
            raise Unusable

    def _current(self) -> _Access:
        if not (self._allowed and (seen := self._watch.latest)):
            raise Unusable
        access = self._access
        if access is None or access.until < monotonic():
            try:
                access = self._access = self._wait(self._find(*seen))
            except Exception as error:  # whatever it is, a call of the client tells it
                _log.debug("libcurl cannot ask as s3fs does: %r", error)
                raise Unusable from error
        return access

    def _wait(self, asked: Coroutine[None, None, T]) -> T:
        from asyncio import run_coroutine_threadsafe

        return run_coroutine_threadsafe(asked, self._fs.loop).result()

    async def _watched(self) -> Any:
        await self._fs.set_session()
        client = await self._fs.get_s3(self._bucket)
        events, see = client.meta.events, self._watch.see
        events.register(SIGNING, see)
        # The file system may be another's too, and outlive us.
        forget = weakref.finalize(self, self._fs.loop.call_soon_threadsafe, events.unregister, SIGNING, see)
        forget.atexit = False
        return client

    async def _find(self, origin: str, region: str, version: object, signer: Any) -> _Access:
        import certifi

        config = self._client.meta.config
        signed = isinstance(version, str)
        if config.proxies or config.client_cert or (signed and version != "s3v4"):
            self._allowed = False
            raise Unusable(f"it has a proxy or a certificate, or signs as {version}")
        # Whether the bucket is a part of the path, only an address tells of which the key is known.
        some = await self._client.generate_presigned_url("get_object", {"Bucket": self._bucket, "Key": "k"})
        headers = ["Content-Type:", "Expect:"]  # none of these
        options: dict[str, Any] = {
            "BUFFERSIZE": AT_ONCE,
            "CONNECTTIMEOUT": int(config.connect_timeout),
            "HTTPHEADER": headers,
            "LOW_SPEED_LIMIT": 1,
            "LOW_SPEED_TIME": int(config.read_timeout),
            "NOSIGNAL": 1,
        }
        verify = self._fs.client_kwargs.get("verify")
        if verify is None:
            verify = self._fs.session.get_config_variable("ca_bundle") or True
        if verify:
            options["CAINFO"] = certifi.where() if verify is True else verify  # as botocore
        else:
            options |= {"SSL_VERIFYPEER": 0, "SSL_VERIFYHOST": 0}
        if signed:
            credentials = (await signer.get_auth_instance("s3", region, version)).credentials
            headers.append("x-amz-content-sha256: UNSIGNED-PAYLOAD")
            if credentials.token:
                headers.append(f"x-amz-security-token: {credentials.token}")
            options["AWS_SIGV4"] = f"aws:amz:{region}:s3"
            options |= {"USERNAME": credentials.access_key, "PASSWORD": credentials.secret_key}
        url = f"{origin}{urlsplit(some).path.removesuffix('k')}"
        return _Access(url, options, monotonic() + FRESH)


def _page(answer: ElementTree.Element) -> dict[str, Any]:
    """A page of a listing, in the words of botocore; raises ValueError if it is something else."""
    space, _, rest = answer.tag.partition("ListBucketResult")
    if rest or space == answer.tag:
        raise ValueError(answer.tag)
    name = unquote_plus if answer.findtext(f"{space}EncodingType") == "url" else str
    token = answer.findtext(f"{space}NextContinuationToken")
    if (more := answer.findtext(f"{space}IsTruncated") == "true") and not token:
        raise ValueError("there is more, and no token to ask for it")
    return {
        "Contents": [
            {"Key": name(found.findtext(f"{space}Key", "")), "Size": int(found.findtext(f"{space}Size", ""))}
            for found in answer.iterfind(f"{space}Contents")
        ],
        "IsTruncated": more,
        "NextContinuationToken": token,
    }
