"""The contract on S3, as moto speaks it."""

from __future__ import annotations

from tests.contract.faults import FaultContract
from tests.contract.registry import RegistryContract
from tests.contract.servers import Moto, running
from tests.contract.store import OnServer, SharedStoreContract

server = running(Moto)


class TestStore(OnServer, SharedStoreContract):
    """A bucket of moto."""


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a bucket of moto."""


class TestFaults(FaultContract):
    """moto behind a network that fails."""
