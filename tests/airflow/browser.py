"""A real browser for the tests: Chromium without a window, driven over its own DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
WAIT = 60.0
"""How many seconds the browser may take for what takes it one or two."""


class Browser:
    """One page of a browser that has no history; a context manager that starts and ends it.

    Args:
        profile: directory for what it writes.

    Attributes:
        complaints: What it wrote to its console, such as what a page's policy made it refuse.
    """

    def __init__(self, profile: Path) -> None:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            pytest.skip("there is no Chromium")  # on Debian: apt-get install chromium
        self.complaints: list[str] = []
        self._profile = profile
        self._command = [
            found,
            "--headless",
            "--no-sandbox",  # root, as in a container, has none; it opens our own pages only
            "--no-proxy-server",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._calls = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._process = stack.enter_context(subprocess.Popen(self._command, **QUIET))
            stack.callback(self._process.terminate)
            self._socket = stack.enter_context(connect(self._page(), max_size=None, proxy=None))
            self._end = stack.pop_all().close
        for domain in ("Page", "Log", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _page(self) -> str:
        """The address to drive the one page at, once the browser has started."""
        port = self._profile / "DevToolsActivePort"
        for _ in range(int(WAIT / 0.1)):
            if port.exists() and (lines := port.read_text().splitlines()):
                targets = httpx.get(f"http://127.0.0.1:{lines[0]}/json", timeout=WAIT, trust_env=False).json()
                for target in targets:
                    if target["type"] == "page":
                        return str(target["webSocketDebuggerUrl"])
            time.sleep(0.1)
        raise AssertionError("the browser did not start")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, such as `Page.navigate`."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(WAIT))
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def run(self, expression: str) -> Any:
        """The value of an expression in JavaScript."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str, ready: str = "true") -> None:
        """Go to an address, and wait until it is loaded and *ready* (JavaScript) is true."""
        self.call("Page.navigate", url="about:blank")  # else another fragment alone loads nothing
        self.call("Page.navigate", url=url)
        self.wait(f"location.href != 'about:blank' && document.readyState == 'complete' && ({ready})")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        for _ in range(int(WAIT / 0.1)):
            if self.run(f"!!({expression})"):
                return
            time.sleep(0.1)
        raise AssertionError(
            f"not true: {expression}; the page shows {self.run('document.body.innerText')!r}"
        )

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the window, and whether its user likes it dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def cookie(self, url: str, name: str, value: str) -> None:
        """Set a cookie."""
        self.call("Network.setCookie", url=url, name=name, value=value)

    def shoot(self, path: Path) -> None:
        """Save what the window shows as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
