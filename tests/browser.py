"""A real browser for the tests: Chromium without a window, driven over its own DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
WAIT = 120.0
"""How many seconds the browser may take for what takes it one or two."""


class Browser:
    """One page of a browser that has no history; a context manager that starts and ends it.

    Args:
        profile: directory for what it writes.

    Attributes:
        complaints: What it wrote to its console, such as what a page's policy made it refuse.
        requests: The addresses that it asked for.
        dialogs: What a page's script said in a dialog, which is closed at once.
    """

    def __init__(self, profile: Path) -> None:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            pytest.skip("there is no Chromium")  # on Debian: apt-get install chromium
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
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
                with DIRECT.open(f"http://127.0.0.1:{lines[0]}/json", timeout=WAIT) as answer:
                    targets = json.load(answer)
                for target in targets:
                    if target["type"] == "page":
                        return str(target["webSocketDebuggerUrl"])
            time.sleep(0.1)
        raise AssertionError("the browser did not start")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, such as `Page.navigate`."""
        number = self._send(method, params)
        while True:
            message = json.loads(self._socket.recv(WAIT))
            if "method" in message:
                self._hear(message["method"], message["params"])
            elif message["id"] == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        return self._calls

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        if event == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            self._send(
                "Page.handleJavaScriptDialog", {"accept": False}
            )  # until then the page answers nothing

    def run(self, expression: str) -> Any:
        """The value of an expression in JavaScript, or what it promises."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key, such as `Tab`, whose number on a keyboard is *code*; a key of one letter writes it."""
        text = {"text": key} if len(key) == 1 else {}
        for what in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=what, key=key, windowsVirtualKeyCode=code, **text)
            text = {}

    def write(self, text: str) -> None:
        """Write where the focus is, as a keyboard would, but at once."""
        self.call("Input.insertText", text=text)

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

    def look(self, width: int, height: int, *, dark: bool = False, paper: bool = False) -> None:
        """Set the size of the window, whether its user likes it dark, and whether it is as on paper."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])

    def cookie(self, url: str, name: str, value: str) -> None:
        """Set a cookie."""
        self.call("Network.setCookie", url=url, name=name, value=value)

    def shoot(self, path: Path, of: str | None = None) -> None:
        """Save what the window shows as a PNG, or all of the first element that the selector *of* means."""
        clip: dict[str, Any] = {}
        if of:
            box = "JSON.stringify(one.getBoundingClientRect())"
            found = json.loads(self.run(f"((one) => {box})(document.querySelector({json.dumps(of)}))"))
            edge = 16  # around it
            left, top = found["x"] - edge, found["y"] - edge + self.run("scrollY")
            size = {side: found[side] + 2 * edge for side in ("width", "height")}
            clip = {"clip": {"x": max(left, 0), "y": max(top, 0), **size, "scale": 1}}
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=bool(of), **clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(taken["data"]))
