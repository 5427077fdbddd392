"""A real browser without a screen, driven over its own protocol (CDP): what it shows, what it asks the network for, and what keys do.

with Browser(folder) as browser:
    page = browser.open(url)
    page.until("document.querySelector('h1')")
"""

import base64
import itertools
import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from environments.browser import chromium
from websockets.sync.client import connect

LIMIT = 15.0
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--no-first-run",
    "--hide-scrollbars",
)
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps")
# Whatever a page of ours breaks, or lets a server run, is seen here.
WATCH = """window.broken = []; window.ran = 0;
addEventListener("securitypolicyviolation", event => broken.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample));
addEventListener("error", event => broken.push(event.message ?? `not loaded: ${event.target.src ?? event.target.href}`), true);
addEventListener("unhandledrejection", event => broken.push(String(event.reason)));
window.alert = () => { ran++ };"""
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " ")}


class Browser:
    def __init__(self, folder: Path):
        self.folder = folder
        self.opened = ExitStack()

    def __enter__(self) -> Self:
        command = [chromium(), *SWITCHES, *QUIET, f"--user-data-dir={self.folder}", "--remote-debugging-port=0", "about:blank"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            if "listening on ws://" in line:
                self.socket = self.opened.enter_context(connect(line.split()[-1], max_size=None, proxy=None))
                return self
        raise RuntimeError("the browser does not start")

    def __exit__(self, *problem: object) -> None:
        self.opened.close()
        self.process.terminate()
        self.process.wait(10)
        self.process.stderr.close()

    def open(self, url: str, size: tuple[int, int] = (1280, 800)) -> "Page":
        """A tab that shares nothing with others."""
        page = Page(self.socket)
        context = page.send("Target.createBrowserContext")["browserContextId"]
        target = page.send("Target.createTarget", url="about:blank", browserContextId=context, width=size[0], height=size[1])["targetId"]
        page.session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            page.send(f"{domain}.enable")
        page.send("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        page.resize(*size)
        page.go(url)
        return page


class Page:
    """`asked` are the requests that it made: address, method, headers."""

    ids = itertools.count(1)

    def __init__(self, socket: Any):
        self.socket, self.session = socket, ""
        self.asked: list[dict[str, Any]] = []

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        message = {"id": next(self.ids), "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        self.socket.send(json.dumps(message))
        while True:
            heard = json.loads(self.socket.recv(LIMIT))
            if heard.get("method") == "Network.requestWillBeSent" and heard.get("sessionId") == self.session:
                self.asked.append(heard["params"]["request"])
            if heard.get("id") == message["id"]:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']}")
                return heard["result"]

    def go(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression, of a promise too."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", str(found)))
        return found["result"].get("value")

    def until(self, script: str, limit: float = LIMIT) -> Any:
        """Wait until an expression is true, and return it."""
        deadline = time.monotonic() + limit
        while not (value := self._tried(f"(value => value instanceof Node || value)({script})")):
            if time.monotonic() > deadline:
                raise AssertionError(f"never so: {script}\n{self._tried('document.body.innerText')}\n{self._tried('broken')}")
            time.sleep(0.03)
        return value

    def _tried(self, script: str) -> Any:
        try:
            return self.run(script)
        except RuntimeError:  # between two documents
            return None

    @property
    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def press(self, key: str, times: int = 1, modifiers: int = 0) -> None:
        code, text = KEYS[key]
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                said = {"text": text} if text and kind == "keyDown" else {}
                self.send(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    code=key if key != " " else "Space",
                    windowsVirtualKeyCode=code,
                    modifiers=modifiers,
                    **said,
                )

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def sign_in(self, token: str) -> None:
        self.until("document.activeElement.type == 'password'")
        self.type(token)
        self.press("Enter")

    def tab_to(self, is_there: str, most: int = 60) -> None:
        """Press Tab until the element that has the focus fits a selector."""
        for _ in range(most):
            if self.run(f"document.activeElement.matches({json.dumps(is_there)})"):
                return
            self.press("Tab")
        raise AssertionError(f"Tab never comes to {is_there}")

    def resize(self, width: int, height: int) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name: str) -> None:
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
