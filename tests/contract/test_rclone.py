"""A store that does not keep the promise: no cellar can be made there."""

from __future__ import annotations

import pytest

from cellar_core import Cellar
from cellar_core.layout import FORMAT
from cellar_core.store import NotExclusive, open_store
from tests.contract.servers import Rclone, Server, running

server = running(Rclone)


def test_refused(server: Server) -> None:
    """rclone ignores ``If-None-Match``: the probe sees more than one winner, and says how many."""
    url, options = server.url(), server.options()
    with pytest.raises(NotExclusive, match=rf"{url} lets [2-8] of 8 callers create one object") as caught:
        Cellar.init(url, options)
    assert not caught.value.retryable
    assert "Use a store with conditional writes" in str(caught.value)
    assert not open_store(url, options).find(FORMAT)
