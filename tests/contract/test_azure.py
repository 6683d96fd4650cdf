"""The contract on Azure Blob Storage."""

from __future__ import annotations

from tests.contract.faults import FaultContract
from tests.contract.registry import RegistryContract
from tests.contract.servers import Azurite, running
from tests.contract.store import OnServer, SharedStoreContract

server = running(Azurite)


class TestStore(OnServer, SharedStoreContract):
    """A container of Azurite."""

    # adlfs keeps each of its file systems to the end of the process: their finalizers hold what they wait to lose.
    test_leaves_nothing_behind = None


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a container of Azurite."""


class TestFaults(FaultContract):
    """Azurite behind a network that fails."""

    # Azure's client waits 15 to 20 seconds after each of these, and a minute and a half for a server that is gone.
    busy = (503,)
    test_nobody_there = None
