"""The contract on Google Cloud Storage."""

from __future__ import annotations

from tests.contract.faults import FaultContract
from tests.contract.registry import RegistryContract
from tests.contract.servers import FakeGCS, running
from tests.contract.store import OnServer, SharedStoreContract

server = running(FakeGCS)


class TestStore(OnServer, SharedStoreContract):
    """A bucket of fake-gcs-server."""


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a bucket of fake-gcs-server."""


class TestFaults(FaultContract):
    """fake-gcs-server behind a network that fails."""

    resumes = False  # it appends what is sent again, which Google Cloud Storage leaves out
