"""Digests that name their algorithm: ``blake3:…`` by default, ``sha256:…`` where the bytes already carry one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Protocol

from pydantic import StringConstraints

__all__ = ["Digest", "Hasher", "algorithm", "canonical", "digest_json", "digest_stream", "hasher"]

_DIGEST = r"^(blake3|sha256):[0-9a-f]{64}$"

Digest = Annotated[str, StringConstraints(pattern=_DIGEST)]
"""A digest as it is written in records: the algorithm, a colon, 64 lower-case hexadecimal digits."""


class Hasher(Protocol):
    """What ``hashlib`` and ``blake3`` have in common."""

    def update(self, data: bytes | memoryview, /) -> Any:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes taken in."""


def hasher(name: str = "blake3") -> Hasher:
    """A new hasher of that algorithm."""
    if name == "blake3":
        from blake3 import blake3

        return blake3()
    import hashlib

    return hashlib.new(name)


def algorithm(digest: str) -> str:
    """The algorithm that *digest* names.

    >>> algorithm("sha256:" + "0" * 64)
    'sha256'
    """
    if not re.fullmatch(_DIGEST, digest):
        message = f"{digest!r} is no digest: expected blake3: or sha256: and 64 hexadecimal digits"
        raise ValueError(message)
    return digest.partition(":")[0]


def digest_stream(chunks: Iterable[bytes | memoryview], name: str = "blake3") -> str:
    """The digest of a stream of bytes, in constant memory.

    >>> digest_stream([b"abc"], "sha256")[:20]
    'sha256:ba7816bf8f01c'
    """
    state = hasher(name)
    for chunk in chunks:
        state.update(chunk)
    return f"{name}:{state.hexdigest()}"


def canonical(value: object) -> bytes:
    """*value* as JSON that is the same for equal values: keys sorted, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_json(*parts: object) -> str:
    """The digest of JSON values, whatever the order of their keys.

    >>> digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    True
    """
    return digest_stream([canonical(parts)])
