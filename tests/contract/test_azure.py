"""The contract on Azure Blob Storage."""

from __future__ import annotations

from tests.contract.registry import RegistryContract
from tests.contract.servers import Azurite, running
from tests.contract.store import OnServer, SharedStoreContract

server = running(Azurite)


class TestStore(OnServer, SharedStoreContract):
    """A container of Azurite."""


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a container of Azurite."""
