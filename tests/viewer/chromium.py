"""A headless Chromium, driven by its own DevTools protocol over a WebSocket.

What is used of the protocol is small and stable: evaluate, navigate, mouse, screenshot. So there is no further
program between the tests and the browser. Tornado, which Flower brings, speaks WebSocket.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.e2e.processes import until

PATIENCE_S = 240.0
"""For one thing to appear in the page: minutes, because a browser that draws without a GPU may share the machine."""

_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    # WebGL 2 without a GPU.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    # No address but this machine's: neither the page nor the browser asks anybody else.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    # A page that was left shall not keep its memory for a way back.
    "--disable-features=BackForwardCache",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-dev-shm-usage",
    "--mute-audio",
)


class Chromium:
    """One browser with one page of a fixed size."""

    def __init__(self, folder: Path, *, width: int = 1500, height: int = 1000) -> None:
        self._profile = folder / "profile"
        self._log = folder / "chromium.log"
        self._size = (width, height)
        self._loop = asyncio.new_event_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: WebSocketClientConnection
        self._last_id = 0
        self.problems: list[str] = []
        """Exceptions that no script of the page caught, and answers of the server that were no success."""

    def __enter__(self) -> Chromium:
        binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert binary, "no Chromium is installed (sh tests/services.sh viewer)"
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox does not start for root
        size = f"--window-size={self._size[0]},{self._size[1]}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [binary, *_FLAGS, *sandbox, size, f"--user-data-dir={self._profile}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        address = until(self._page, what="Chromium offers its page")
        self._socket = self._loop.run_until_complete(_connected(address))
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        width, height = self._size
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._loop.close()

    def goto(self, url: str) -> None:
        """Forget what was there, and begin to load a page."""
        self.call("Page.navigate", url="about:blank")
        self.problems.clear()
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str, *arguments: object) -> Any:
        """Value of a JavaScript function (its source) for JSON arguments; promises are waited for."""
        given = ", ".join(json.dumps(one) for one in arguments)
        answer = self.call("Runtime.evaluate", expression=f"({script})({given})", returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, script: str, *arguments: object, what: str, wait_s: float = PATIENCE_S) -> Any:
        """Ask until the answer is true. A page that is still coming to life may throw."""

        def ask() -> Any:
            try:
                return self.evaluate(script, *arguments)
            except AssertionError:
                return None

        return until(ask, what=f"{what}; {self.problems[-3:]}", wait_s=wait_s)

    def click(self, x: float, y: float, *, times: int = 1) -> None:
        for count in range(1, times + 1):
            for event in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=event, x=x, y=y, button="left", clickCount=count)

    def move_mouse(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self) -> NDArray[np.uint8]:
        """What a person would see: shape (row, column, RGB)."""
        answer = self.call("Page.captureScreenshot", format="png")
        with Image.open(io.BytesIO(base64.b64decode(answer["data"]))) as image:
            return np.asarray(image.convert("RGB"))

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol; what happened meanwhile is looked through for problems."""
        self._last_id += 1
        message = json.dumps({"id": self._last_id, "method": method, "params": parameters})
        return self._loop.run_until_complete(asyncio.wait_for(self._asked(message, self._last_id), PATIENCE_S))

    async def _asked(self, message: str, number: int) -> dict[str, Any]:
        await self._socket.write_message(message)
        while True:
            received = await self._socket.read_message()
            assert received is not None, "Chromium ended"
            answer = json.loads(received)
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(str(details.get("exception", {}).get("description") or details["text"])[:400])
        elif event.get("method") == "Network.responseReceived" and parameters["response"]["status"] >= 400:
            self.problems.append(f"{parameters['response']['status']} {parameters['response']['url']}"[:300])

    def _page(self) -> str | None:
        """Address of the page's WebSocket, when the browser has written its port and answers there."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        try:
            port = (self._profile / "DevToolsActivePort").read_text(encoding="ascii").splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                pages = [one for one in json.loads(answer.read()) if one["type"] == "page"]
        except (OSError, IndexError):
            return None
        return str(pages[0]["webSocketDebuggerUrl"]) if pages else None


async def _connected(address: str) -> WebSocketClientConnection:
    # A screenshot is one message.
    return await websocket_connect(address, max_message_size=256 << 20)


def settled(look: Callable[[], NDArray[np.uint8]], *, looks: int = 3, wait_s: float = PATIENCE_S) -> NDArray[np.uint8]:
    """Look until several looks in a row are the same: what is drawn in steps has then been drawn."""
    ends, last, same = time.monotonic() + wait_s, look(), 1
    while same < looks and time.monotonic() < ends:
        time.sleep(0.3)
        now = look()
        same = same + 1 if np.array_equal(now, last) else 1
        last = now
    assert same >= looks, "the screen does not come to rest"
    return last
