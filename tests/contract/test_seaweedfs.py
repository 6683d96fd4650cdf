"""The contract on an S3 store of another make."""

from __future__ import annotations

from tests.contract.registry import RegistryContract
from tests.contract.servers import SeaweedFS, running
from tests.contract.store import OnServer, SharedStoreContract

server = running(SeaweedFS)


class TestStore(OnServer, SharedStoreContract):
    """A bucket of SeaweedFS."""

    # Whoever loses a race there waits for whole seconds; a cellar's own test probes it.
    rounds = 3
    test_probe_passes = None


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a bucket of SeaweedFS."""
