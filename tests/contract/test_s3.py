"""The contract on S3, as moto speaks it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cellar_core.payload import CHUNK
from cellar_core.store import S3Store, Store
from tests.contract.faults import FaultContract
from tests.contract.proxy import Proxy
from tests.contract.registry import RegistryContract
from tests.contract.servers import Moto, running
from tests.contract.store import OnServer, SharedStoreContract, send

server = running(Moto)


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
        sizes = {"v/small.bin": 100_000, "v/large.bin": S3Store.span + CHUNK + 1}
        files = {key: random.Random(size).randbytes(size) for key, size in sizes.items()}
        for key, data in files.items():
            source = tmp_path / "source.bin"
            source.write_bytes(data)
            send(direct, source, key)
        return files

    def test_payloads_go_by_signed_urls(self, store: Store, proxy: Proxy, sent: dict[str, bytes]) -> None:
        """A file costs a request, a large one a request for each range; all are signed as AWS asks for today."""
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        assert proxy.count("GET", "X-Amz-Algorithm=AWS4-HMAC-SHA256") == proxy.count("GET") == 3

    @pytest.mark.parametrize("fault", ["lose", "tear", "503", "two in a row"])
    def test_a_read_that_fails(self, store: Store, proxy: Proxy, sent: dict[str, bytes], fault: str) -> None:
        """Bytes whose answer is lost, cut off in the middle or put off are asked for again, from where they ended."""
        for key, data in sent.items():
            proxy.reset()
            if fault == "503":
                proxy.refuse(503, "GET", key)
            elif fault == "lose":
                proxy.lose("GET", key)
            else:
                proxy.tear("GET", key, times=2 if fault == "two in a row" else 1)
            assert whole(store, key, data) == data

    def test_signed_urls_that_are_refused(
        self, store: Store, proxy: Proxy, sent: dict[str, bytes], tmp_path: Path
    ) -> None:
        """A policy may forbid them: then all goes by calls of s3fs, and none is tried in vain again."""
        proxy.refuse(403, "GET", "X-Amz-Signature", times=9)
        assert {key: whole(store, key, data) for key, data in sent.items()} == sent
        assert proxy.count("GET", "X-Amz-Signature") == 1
        send(store, tmp_path / "source.bin", "v/again.bin")
        assert proxy.count("PUT|GET", "X-Amz-Signature") == 1
