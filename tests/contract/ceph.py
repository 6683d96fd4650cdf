"""The contract on Ceph's object gateway, from Debian's packages; only ``make test-ceph`` collects it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid

from example_flows.demo.loopback import free_port
from tests.contract.faults import FaultContract
from tests.contract.registry import RegistryContract
from tests.contract.servers import KEY, S3, SECRET, START, running
from tests.contract.store import OnServer, SharedStoreContract

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = {addresses}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
mon data = {home}/mon
mon data avail crit = 1
mon allow pool size one = true
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
run dir = {home}/run
admin socket = {home}/run/$name.asok
pid file = {home}/run/$name.pid
log file = {home}/log/$name.log

[client.rgw.a]
rgw data = {home}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
# Without these two it insists on keys, and asks for them for ever.
ms mon client mode = crc
auth client required = none
"""


class Ceph(S3):
    """A cluster of one monitor, one disk in memory, and the gateway, which runs in front of them."""

    def command(self) -> list[str]:
        for name in ("mon", "osd", "rgw", "run", "log"):
            (self.directory / name).mkdir()
        fsid, disk = str(uuid.uuid4()), str(uuid.uuid4())
        addresses = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        self._configuration = self.directory / "ceph.conf"
        self._configuration.write_text(
            CONFIGURATION.format(
                fsid=fsid, addresses=addresses.strip("[]"), home=self.directory, port=self.port
            )
        )
        monmap = str(self.directory / "monmap")
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._run("ceph-mon", "-i", "a")
        self._run("ceph", "osd", "new", disk, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        self._run("ceph-osd", "-i", "0")
        until = time.monotonic() + START
        while "1 up" not in self._run("ceph", "osd", "stat"):
            assert time.monotonic() < until, "the disk does not come up"
            time.sleep(0.2)
        user = ("--uid=t", "--display-name=t", f"--access-key={KEY}", f"--secret={SECRET}")
        self._run("radosgw-admin", "-n", "client.rgw.a", "user", "create", *user)
        return ["radosgw", "-f", "-c", str(self._configuration), "-n", "client.rgw.a"]

    def stop(self) -> None:
        super().stop()
        # The monitor and the disk have left us: their own files name them.
        for file in (self.directory / "run").glob("[mo]*.pid"):
            os.kill(int(file.read_text()), signal.SIGKILL)

    def _run(self, *words: str) -> str:
        environment = os.environ | {"CEPH_CONF": str(self._configuration)}
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=START, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout


server = running(Ceph)


class TestStore(OnServer, SharedStoreContract):
    """A bucket of Ceph."""


class TestRegistry(OnServer, RegistryContract):
    """A cellar in a bucket of Ceph."""


class TestFaults(FaultContract):
    """Ceph behind a network that fails."""
