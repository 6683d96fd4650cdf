"""What the clients of object stores raise, told apart: what may pass, and what stays.

Each client has errors of its own, and they are not imported here: they are known by the status that they carry, by
the module they come from and by their names.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from http import HTTPStatus

from cellar_core.errors import CellarError
from cellar_core.store.base import StoreRefused, StoreUnavailable

__all__ = ["is_beyond", "is_of_store", "passes", "told"]

_CLIENTS = {
    "adlfs",
    "aiobotocore",
    "aiohttp",
    "azure",
    "botocore",
    "fsspec",
    "gcsfs",
    "google",
    "requests",
    "s3fs",
}
# 409 is a conflict of two requests of which none may have been done; 412 with nothing there is one too.
_PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
_PASSING_NUMBERS = {errno.EBUSY, errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT}
_PASSING_NAMES = {
    "aiohttp.ClientError",
    "azure.ServiceRequestError",
    "azure.ServiceResponseError",
    "botocore.ConnectionError",
    "botocore.HTTPClientError",
    "google.TransportError",
    "requests.RequestException",
}


def is_of_store(error: Exception) -> bool:
    """Whether *error* is the store's or the network's word, and no mistake in the program."""
    return isinstance(error, (OSError, ValueError)) or _root(type(error)) in _CLIENTS


def is_beyond(error: Exception) -> bool:
    """Whether an object has no bytes in the range that was asked for: it is shorter."""
    return any(_status(one) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE for one in _chain(error))


def passes(error: BaseException) -> bool:
    """Whether the same request can succeed later."""
    chain = list(_chain(error))
    if statuses := [status for one in chain if (status := _status(one))]:
        return statuses[0] in _PASSING or statuses[0] >= HTTPStatus.INTERNAL_SERVER_ERROR
    return any(_is_passing(one) for one in chain)


def told(error: Exception, place: str) -> CellarError:
    """*error* as an error of the registry, which names the place and the next step."""
    what = " ".join(str(error).split())[:300] or type(error).__name__
    if passes(error):
        return StoreUnavailable(f"{place}: {what}; try again")
    if isinstance(error, FileNotFoundError) or HTTPStatus.NOT_FOUND in map(_status, _chain(error)):
        return StoreRefused(f"{place}: not there; make the bucket or container first")
    return StoreRefused(f"{place}: {what}; check the credentials and what they may do there")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int:
    """The HTTP status that an error of botocore, azure, aiohttp or gcsfs carries; 0 if it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    for name in ("status_code", "status", "code"):
        if isinstance(found := getattr(error, name, None), int):
            return found
    return 0


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, (TimeoutError, ConnectionError, FileExistsError)):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING_NUMBERS:
        return True
    return any(f"{_root(kind)}.{kind.__name__}" in _PASSING_NAMES for kind in type(error).__mro__)


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]
