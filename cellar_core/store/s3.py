"""A store on what speaks S3: one request a page of a listing, and uploads in parts of which several are in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

from cellar_core.payload import CHUNK
from cellar_core.store.curl import Transfers, Unusable
from cellar_core.store.objects import SENDING, FileSystem, ObjectStore, Session

__all__ = ["S3Store"]

MOST_PARTS = 10_000
"""So many parts an upload may have."""


class S3Store(ObjectStore):
    """A bucket, or a part of one; see ObjectStore."""

    def find(self, prefix: str) -> Mapping[str, int]:
        # s3fs.find asks twice more when there is nothing.
        pages = self._pages(self._list, prefix, "ContinuationToken", Prefix=self._name(prefix))
        root = len(self._name(""))
        return {found["Key"][root:]: found["Size"] for page in pages for found in page.get("Contents", ())}

    def partials(self, prefix: str) -> Mapping[str, int]:
        """Uploads that were begun and not completed, and how much of each has arrived: a request for each."""
        markers = ("KeyMarker", "UploadIdMarker")
        begun = partial(self._ask, "list_multipart_uploads")
        pages = self._pages(begun, prefix, *markers, Prefix=self._name(prefix))
        root = len(self._name(""))
        found = [(one["Key"][root:], one["UploadId"]) for page in pages for one in page.get("Uploads", ())]
        return {f"{key}?uploadId={upload}": self._arrived(key, upload) for key, upload in found}

    def _arrived(self, key: str, upload: str) -> int:
        """How many bytes of an upload have arrived; 0 if it has ended meanwhile."""
        parts = partial(self._call, "list_parts", key)
        pages = self._pages(parts, key, "PartNumberMarker", UploadId=upload)
        return sum(int(part["Size"]) for page in pages for part in page.get("Parts", ()))

    def discard(self, partial: str) -> None:
        key, _, upload = partial.rpartition("?uploadId=")
        with self._telling(key):
            self._call("abort_multipart_upload", key, UploadId=upload)

    def _pages(
        self, ask: Callable[..., dict[str, Any]], about: str, *markers: str, **facts: Any
    ) -> Iterator[dict[str, Any]]:
        """The pages of an answer; none if what they are of is not there."""
        after: dict[str, Any] = {}
        try:
            while True:
                with self._telling(about):
                    page = ask(**facts, **after)
                yield page
                if not page.get("IsTruncated"):
                    return
                after = {marker: page[f"Next{marker}"] for marker in markers}
        except FileNotFoundError:
            return

    def _list(self, **page: str) -> dict[str, Any]:
        try:
            return self._transfers.list(page["Prefix"], page.get("ContinuationToken"))
        except Unusable:
            answer: dict[str, Any] = self._ask("list_objects_v2", **page)
            return answer

    def _call(self, method: str, key: str, **facts: Any) -> Any:
        return self._ask(method, Key=self._name(key), **facts)

    def _ask(self, method: str, **facts: Any) -> Any:
        return self._fs.call_s3(method, Bucket=self._path("").partition("/")[0], **facts)

    def _name(self, key: str) -> str:
        """What *key* is called in the bucket."""
        return self._path(key).partition("/")[2]

    def _get(self, key: str) -> bytes:
        # With more than one at a time, s3fs asks for the size first.
        data: bytes = self._fs.cat_file(self._path(key), max_concurrency=1)
        return data

    def _open(self) -> Session:
        return _Session(self.url, self._options, self._filesystem)

    @property
    def _transfers(self) -> Transfers:
        return cast("_Session", self._session).transfers

    def _send_whole(self, key: str, data: bytes) -> None:
        try:
            self._transfers.put(self._name(key), data)
        except Unusable:
            super()._send_whole(key, data)

    def _range(self, key: str, start: int, end: int, room: bytearray) -> bytes | memoryview:
        try:
            return self._transfers.get(self._name(key), start, end, memoryview(room))
        except Unusable:
            return super()._range(key, start, end, room)

    def _send_part(self, key: str, upload: str, number: int, data: bytes) -> dict[str, Any]:
        try:
            tag = self._transfers.put(self._name(key), data, partNumber=number, uploadId=upload)
        except Unusable:
            with self._sending(key):
                tag = self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=data)["ETag"]
        return {"PartNumber": number, "ETag": tag}

    def _send(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        with self._sending(key):
            upload = self._call("create_multipart_upload", key)["UploadId"]
        try:
            parts = self._send_parts(key, _parts(pieces, size), upload)
        except BaseException:
            with self._sending(key):
                self._call("abort_multipart_upload", key, UploadId=upload)
            raise
        with self._sending(key):
            self._call("complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts})

    def _send_parts(self, key: str, parts: Iterator[bytes], upload: str) -> list[dict[str, Any]]:
        """Send the parts, several at once, and wait for all of them; raises what getting them raises."""
        session = self._session
        sent: list[Future[dict[str, Any]]] = []

        def send(number: int, data: bytes) -> dict[str, Any]:
            try:
                return self._send_part(key, upload, number, data)
            finally:
                session.sending.release()

        try:
            for number, data in enumerate(parts, start=1):
                session.sending.acquire()
                sent.append(session.pool.submit(send, number, data))
                # So that what failed is not followed by the rest of the file.
                for future in sent[-2 * SENDING :]:
                    if future.done():
                        future.result()
            return [future.result() for future in sent]
        finally:
            for future in sent:
                if future.cancel():
                    session.sending.release()
                else:
                    future.exception()


class _Session(Session):
    """What one process has of a bucket."""

    def __init__(self, url: str, options: Mapping[str, Any], filesystem: FileSystem | None) -> None:
        super().__init__(url, options, filesystem)
        self.transfers = Transfers(self.fs, self.root.partition("/")[0])


def _parts(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Pieces joined to parts: of 8 MiB, or larger ones for an object of more than 80 GB: it may not get too many."""
    least = CHUNK * -(-size // (CHUNK * (MOST_PARTS - 1)))
    part: list[bytes] = []
    for piece in pieces:
        part.append(piece)
        if sum(map(len, part)) >= least:
            yield b"".join(part) if len(part) > 1 else piece
            part.clear()
    if part:
        yield b"".join(part)
