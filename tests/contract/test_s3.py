"""The contract on S3, as moto speaks it."""

from __future__ import annotations

import gc
import logging
import random
import re
import sys
from io import BytesIO
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3fs import S3FileSystem

from cellar_core.payload import CHUNK
from cellar_core.store import S3Store, Store, StoreUnavailable, open_store
from cellar_core.store.curl import Transfers, Unusable, _Watch
from tests.contract.faults import FaultContract
from tests.contract.proxy import Proxy, Request
from tests.contract.registry import RegistryContract
from tests.contract.servers import KEY, SECRET, Moto, MotoTLS, running
from tests.contract.store import LARGE, WAIT, OnServer, SharedStoreContract, send
from tests.core.helpers import until

server = running(Moto)
secure = running(MotoTLS)


LIBCURL = "libcurl/"


def signature(request: Request) -> str:
    """What botocore would have signed *request* with."""
    said = {name.lower(): value for name, value in request.headers.items()}
    signed = said["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    again = AWSRequest(
        request.method, f"http://{said['host']}{request.path}", {name: said[name] for name in signed}
    )
    again.context["timestamp"] = said["x-amz-date"]
    auth = S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1")
    text: str = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    return text


def whole(store: Store, key: str, data: bytes) -> bytes:
    """What is read where *data* should be."""
    return b"".join(store.chunks(key, len(data)))


class TestStore(OnServer, SharedStoreContract):
    """A bucket of moto."""


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a bucket of moto."""


class TestFaults(FaultContract):
    """moto behind a network that fails."""

    @pytest.fixture
    def sent(self, direct: Store, tmp_path: Path) -> dict[str, bytes]:
        """What is there: a small file, and one that is asked for in two ranges."""
        sizes = {"v/small.bin": 100_000, "v/large.bin": CHUNK + CHUNK // 2}
        files = {key: random.Random(size).randbytes(size) for key, size in sizes.items()}
        for key, data in files.items():
            source = tmp_path / "source.bin"
            source.write_bytes(data)
            send(direct, source, key)
        return files

    @pytest.fixture
    def seen(self, store: Store, proxy: Proxy) -> None:
        """A call of s3fs, by which libcurl knows how to ask."""
        assert store.read("v/nothing") is None
        proxy.reset()

    @pytest.mark.usefixtures("seen")
    def test_payloads_go_by_libcurl(
        self, store: Store, proxy: Proxy, sent: dict[str, bytes], tmp_path: Path
    ) -> None:
        """A file costs a request, a large one a request for each range, or each part; so does a listing."""
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        assert proxy.count("GET", LIBCURL) == proxy.count("GET") == 3
        assert store.find("v/") == {key: len(data) for key, data in sent.items()}
        assert store.find("nowhere/") == {}
        assert proxy.count("GET", LIBCURL) == proxy.count("GET") == 3 + 2
        for key, data in sent.items():
            (tmp_path / "source.bin").write_bytes(data)
            send(store, tmp_path / "source.bin", f"again/{key}")
        assert proxy.count("PUT", LIBCURL) == proxy.count("PUT") == 3
        assert {key: whole(store, f"again/{key}", data) for key, data in sent.items()} == sent

    @pytest.mark.usefixtures("seen")
    def test_what_it_signs_is_right(
        self, server: Moto, url: str, options: dict[str, Any], proxy: Proxy, tmp_path: Path
    ) -> None:
        """As botocore signs it: names that are quoted, a session's token, the query of a part."""
        store = open_store(url, {**options, "token": "a/session+token=="})
        assert store.read("v/nothing") is None
        proxy.reset()
        names = {"v/a b+c~d'(é)&=%41.bin": 1000, "v/large*,;.bin": CHUNK + 1}
        for key, size in names.items():
            (tmp_path / "source.bin").write_bytes(bytes(size))
            send(store, tmp_path / "source.bin", key)
            assert whole(store, key, bytes(size)) == bytes(size)
            # Old moto takes a semicolon for the end of a name, and old libcurl is not asked to sign a plus in a query.
            assert [*store.find(re.split("[+;]", key)[0]).values()] == [size]
        asked = [one for one in proxy.asked if LIBCURL in one.agent]
        assert len(asked) == (1 + 1 + 1) + (2 + 2 + 1)
        for one in asked:
            assert one.headers["Authorization"].endswith(f"Signature={signature(one)}")
            assert "x-amz-security-token" in one.headers["Authorization"]
        [plus] = [key for key in names if "+" in key]
        assert store.find(plus) == {plus: names[plus]}

    def test_a_bucket_of_another_region(self, store: Store, proxy: Proxy, sent: dict[str, bytes]) -> None:
        """S3 tells the client, who asks again there; so does libcurl from the start."""
        proxy.refuse(301, "GET", "v/nothing", x_amz_bucket_region="eu-west-3")
        assert store.read("v/nothing") is None
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        scopes = {one.headers["Authorization"].split("/")[2] for one in proxy.asked if LIBCURL in one.agent}
        assert scopes == {"eu-west-3"}

    def test_without_pycurl(
        self, store: Store, proxy: Proxy, sent: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """s3fs does it."""
        monkeypatch.setitem(sys.modules, "pycurl", None)
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        assert not proxy.count("GET", LIBCURL)

    def test_nobody_signs_for_the_anonymous(
        self, direct: S3Store, url: str, options: dict[str, Any], proxy: Proxy, sent: dict[str, bytes]
    ) -> None:
        """What is public is read without a signature, by libcurl too."""
        for key in sent:
            direct._call("put_object_acl", key, ACL="public-read")
        store = open_store(url, {"anon": True, "client_kwargs": options["client_kwargs"]})
        assert store.read("v/nothing") is None
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        asked = [one for one in proxy.asked if LIBCURL in one.agent]
        assert len(asked) == 3
        assert not any("Authorization" in one.headers for one in asked)

    def test_what_libcurl_does_not_know(
        self, url: str, options: dict[str, Any], proxy: Proxy, sent: dict[str, bytes]
    ) -> None:
        """A proxy, as botocore names it: then s3fs carries the files."""
        store = open_store(url, {**options, "config_kwargs": {"proxies": {"https": "http://127.0.0.1:9"}}})
        assert store.read("v/nothing") is None
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        assert not proxy.count("GET", LIBCURL)

    @pytest.mark.usefixtures("seen")
    @pytest.mark.parametrize("fault", ["lose", "tear", "503", "two in a row"])
    def test_a_read_that_fails(self, store: Store, proxy: Proxy, sent: dict[str, bytes], fault: str) -> None:
        """Bytes whose answer is lost, cut off in the middle or put off are asked for again."""
        for key, data in sent.items():
            proxy.reset()
            if fault == "503":
                proxy.refuse(503, "GET", key)
            elif fault == "lose":
                proxy.lose("GET", key)
            else:
                proxy.tear("GET", key, times=2 if fault == "two in a row" else 1)
            assert whole(store, key, data) == data

    @pytest.mark.usefixtures("seen")
    @pytest.mark.parametrize("fault", ["lose", "tear", "503", "no listing", "none either", "no token"])
    def test_a_listing_that_fails(
        self, store: Store, proxy: Proxy, sent: dict[str, bytes], fault: str
    ) -> None:
        """What comes in half, or is none, is never taken for an empty one."""
        match fault:
            case "503":
                proxy.refuse(503, "GET", LIBCURL)
            case "lose":
                proxy.lose("GET", LIBCURL)
            case "tear":
                proxy.tear("GET", LIBCURL)
            case "no listing":
                proxy.refuse(200, "GET", LIBCURL)
            case "none either":
                proxy.refuse(200, "GET", LIBCURL, body="<ListPartsResult/>")
            case "no token":
                more = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
                proxy.refuse(200, "GET", LIBCURL, body=more)
        assert store.find("v/") == {key: len(data) for key, data in sent.items()}
        assert proxy.count("GET", LIBCURL) == 1
        assert proxy.count("GET") == 2

    @pytest.mark.usefixtures("seen")
    def test_a_policy_that_refuses_what_libcurl_sends(
        self, store: Store, proxy: Proxy, sent: dict[str, bytes], tmp_path: Path
    ) -> None:
        """It may want a digest of what is sent: then all goes by calls of s3fs, and nothing is tried in vain again."""
        proxy.refuse(403, "PUT|GET", LIBCURL, times=9)
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        tried = proxy.count("GET", LIBCURL)
        assert tried == 1
        send(store, tmp_path / "source.bin", "v/again.bin")
        assert proxy.count("PUT|GET", LIBCURL) == tried


def test_who_stops_reading_leaves_nothing_behind(
    server: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What still comes for a reader who has gone never gets into the memory of the next."""
    begun, filled, go_on = Semaphore(0), Semaphore(0), Event()
    get = Transfers.get

    def late(self: Transfers, name: str, start: int, end: int, room: memoryview) -> memoryview:
        if not (name.endswith("other.bin") and start):
            return get(self, name, start, end, room)
        begun.release()
        assert go_on.wait(WAIT)
        room[:] = bytes(len(room))
        filled.release()
        return room[: end - start]

    monkeypatch.setattr(Transfers, "get", late)
    store = open_store(server.url(), server.options())
    data = random.Random(1).randbytes(LARGE)
    (tmp_path / "source.bin").write_bytes(data)
    for key in ("v/large.bin", "v/other.bin"):
        send(store, tmp_path / "source.bin", key)
    reading = store.copy("v/other.bin", LARGE, BytesIO())
    next(reading)
    assert all(begun.acquire(timeout=WAIT) for _ in range(2))
    reading.close()  # type: ignore[attr-defined]
    copying = store.copy("v/large.bin", LARGE, BytesIO())
    first = next(copying)
    go_on.set()
    assert all(filled.acquire(timeout=WAIT) for _ in range(2))
    assert bytes(first) + b"".join(map(bytes, copying)) == data


class TestTLS:
    """moto behind a certificate that a company made."""

    @pytest.mark.parametrize("verify", ["its own", False])
    def test_libcurl_trusts_what_s3fs_does(
        self, secure: MotoTLS, verify: str | bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = secure.options()
        if verify is False:
            options["client_kwargs"]["verify"] = False
        store = open_store(secure.url(), options)
        assert store.read("v/nothing") is None
        (tmp_path / "source.bin").write_bytes(b"some bytes")
        with caplog.at_level(logging.DEBUG, logger="cellar_core.store.curl"):
            send(store, tmp_path / "source.bin", "v/file.bin")
            assert whole(store, "v/file.bin", b"some bytes") == b"some bytes"
        assert not caplog.messages

    def test_neither_trusts_a_stranger(self, secure: MotoTLS) -> None:
        """Not a byte is sent, nor taken, by libcurl either."""
        options = secure.options() | {"config_kwargs": {"retries": {"max_attempts": 0}}}
        del options["client_kwargs"]["verify"]
        store = S3Store(secure.url(), options)
        with pytest.raises(StoreUnavailable):
            store.read("v/file.bin")
        with pytest.raises(Unusable) as refused:
            store._transfers.put("v/file.bin", b"some bytes")
        assert "certificate" in str(refused.value.__cause__)


def test_a_client_forgets_who_has_gone(server: Moto) -> None:
    """A file system may be another's, such as Airflow's, and outlive the stores on it."""
    url, shared = server.url(), S3FileSystem(**server.options(), skip_instance_cache=True)

    def watching() -> int:
        gc.collect()
        return sum(isinstance(one, _Watch) for one in gc.get_objects())

    before = watching()
    for _ in range(3):
        assert open_store(url, {}, lambda: shared).find("") == {}
    until(lambda: watching() <= before)
