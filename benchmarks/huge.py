"""Register and verify 100 GiB on S3: does the memory stay where it is, whatever the size?

Run it as `python -P benchmarks/huge.py [--case 25x4GiB --case 1x100GiB]`; it takes some minutes, and no disk.

The files are holes, and the server keeps only how long a large object is and answers that many zeros. So what is seen
here are the pieces of large transfers, and how much memory they take; how fast they are, transfer.py tells.
"""

from __future__ import annotations

import argparse
import re
import sys
from itertools import count
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import escape

from aiohttp import web

from benchmarks.places import Place, machine
from benchmarks.transfer import GROWTH, MIB, RACK, Case, Run, cellar_of, register, sampled
from cellar_core import Cellar
from tests.contract.servers import S3

WHOLE = 4 * MIB
"""Up to so many bytes, an object is kept as it is."""
ZEROS = bytes(MIB)


class Hollow(S3):
    """As much of S3 as a cellar asks for, for objects of zeros."""

    bucket: ClassVar[str] = "hollow"

    def command(self) -> list[str]:
        """This file, as a server."""
        return [sys.executable, "-P", __file__, "--serve", str(self.port)]


class Objects:
    """What the server has: of large objects only the size."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._bytes: dict[str, bytes] = {}
        self._uploads: dict[str, dict[int, int]] = {}
        self._numbers = count()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever it is."""
        key, query = request.match_info.get("key", ""), request.query
        if request.method == "GET" and not key:
            return self._list(query["prefix"])
        if request.method in {"GET", "HEAD"}:
            return await self._read(request, key)
        if request.method == "POST" and "uploads" in query:
            upload = str(next(self._numbers))
            self._uploads[upload] = {}
            return web.Response(text=f"<Upload><UploadId>{upload}</UploadId></Upload>")
        if request.method == "POST":
            await request.read()
            self._sizes[key] = sum(self._uploads.pop(query["uploadId"]).values())
            return web.Response(text='<Done><ETag>"some"</ETag></Done>')
        size, begin = await _drained(request)
        if "uploadId" in query:
            self._uploads[query["uploadId"]][int(query["partNumber"])] = size
        elif key in self._sizes and "If-None-Match" in request.headers:
            return web.Response(status=412)
        elif key:
            self._sizes[key] = size
            if size <= WHOLE:
                self._bytes[key] = begin
        return web.Response(headers={"ETag": '"some"'})

    def _list(self, prefix: str) -> web.Response:
        found = sorted(item for item in self._sizes.items() if item[0].startswith(prefix))
        keys = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size></Contents>" for key, size in found
        )
        return web.Response(text=f"<ListBucketResult>{keys}</ListBucketResult>")

    async def _read(self, request: web.Request, key: str) -> web.StreamResponse:
        if key not in self._sizes:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        size = self._sizes[key]
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", f"bytes=0-{size}"))
        assert asked
        start, end = int(asked[1]), min(int(asked[2]) + 1, size)
        status = 206 if "Range" in request.headers else 200
        if key in self._bytes:
            return web.Response(status=status, body=self._bytes[key][start:end])
        response = web.StreamResponse(status=status)
        response.content_length = end - start
        await response.prepare(request)
        for sent in range(start, end, MIB):
            await response.write(ZEROS[: end - sent])
        return response


async def _drained(request: web.Request) -> tuple[int, bytes]:
    """How many bytes came, and the first of them."""
    size, begin = 0, b""
    async for piece in request.content.iter_any():
        size += len(piece)
        begin += piece if size <= WHOLE else b""
    return size, begin


def serve(port: int) -> None:
    """Until somebody ends it."""
    app, objects = web.Application(client_max_size=2**40), Objects()
    for path in ("/hollow", "/hollow/{key:.*}"):
        app.router.add_route("*", path, objects.answer)
    web.run_app(app, host="127.0.0.1", port=port, print=lambda line: None, access_log=None)


def holes(case: Case, directory: Path) -> Path:
    """A directory with such files, which take no room."""
    directory.mkdir()
    for number in range(case.count):
        with (directory / f"{number:05}.bin").open("wb") as file:
            file.truncate(case.size)
    return directory


def verify(where: Place, ref: str) -> Run:
    """Fetch and digest all of it."""
    cellar = cellar_of(where)
    return lambda: cellar.verify(ref)


def main() -> int:
    """Measure and print; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=Case.parse, action="append", help="such as 25x4GiB; may be repeated")
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the server")
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
        return 0
    passed = True
    for case in asked.case or [Case.parse("25x4GiB"), Case.parse("1x100GiB")]:
        passed = measure(case) and passed
    return 0 if passed else 1


def measure(case: Case) -> bool:
    """Whether one case keeps the bar."""
    with Hollow() as server:
        where = Place("hollow", server.url(), server.directory, server.options())
        print(f"{case.count} x {case.size / 2**30:.3g} GiB of zeros; {machine(where.scratch)}", flush=True)
        cellar = Cellar.init(where.url, where.options)
        cellar.create_rack(RACK)
        source = holes(case, where.scratch / "source")
        grown = {
            "register": sampled(register, where, source, "once"),
            "verify": sampled(verify, where, f"{RACK}/base/0.1"),
        }
    for verb, sample in grown.items():
        verdict = "PASS" if sample.growth < GROWTH else "FAIL"
        speed = case.count * case.size / MIB / sample.seconds
        print(f"{verdict}  {verb}: peak RSS {sample.growth:+.0f} MiB (bar {GROWTH}), {speed:.0f} MiB/s")
    return all(sample.growth < GROWTH for sample in grown.values())


if __name__ == "__main__":
    sys.exit(main())
