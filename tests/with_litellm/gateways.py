"""A LiteLLM with bridges behind it, and what every test asks of it: did it survive, does a normal call still work?"""

import itertools
import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from environments.litellm import LiteLLM
from support import Bridge, zoo

PATHS = {"sse": "/sse", "http": "/mcp"}
KIND = ["--profile", "litellm"]


class Gateway:
    """A LiteLLM for MCPs by name and base URL; it knows `time` as `time_sse` and as `time_http`.

    Wedged, it answers nothing any more: that fails the test that did it, and the next one gets a new process.
    """

    def __init__(self, python: Path, mcps: dict[str, str], without: tuple[str, ...] = ()):
        self.python = python
        self.config = {
            f"{name}_{transport}": {"url": url + path, "transport": transport}
            for name, url in mcps.items()
            for transport, path in PATHS.items()
            if f"{name}_{transport}" not in without
        }

    def __enter__(self) -> Self:
        self.proxy = LiteLLM(self.python, {"mcp_servers": self.config}).__enter__()
        return self

    def __exit__(self, *exc) -> None:
        self.proxy.__exit__(*exc)

    def restart_if_wedged(self) -> None:
        if not self.proxy.alive():
            self.__exit__()
            self.__enter__()

    def tools(self, mcp: str, transport: str) -> dict[str, dict]:
        """The tools of one MCP, by their own names.

        A list of all, because 1.77.3 forgets what a shorter one does not name, and lists anew for the next call.
        """
        prefix = f"{mcp}_{transport}-"
        return {tool["name"].removeprefix(prefix): tool for tool in self.proxy.tools() if tool["name"].startswith(prefix)}

    def call(self, transport: str, mcp: str, tool: str, /, timeout: float = 20, **arguments) -> str:
        """The text of a tool's result. Whatever went wrong, LiteLLM's caller must get a result."""
        return words(self.result(transport, mcp, tool, timeout=timeout, **arguments))

    def result(self, transport: str, mcp: str, tool: str, /, timeout: float = 20, **arguments) -> dict:
        status, result = self.proxy.call(f"{mcp}_{transport}-{tool}", arguments, timeout)
        assert status == 200 and "content" in result, f"{status} {result}\n{self.proxy.log[-3000:]}"
        return result

    def check(self, transport: str, after: str = "") -> None:
        """It is not wedged, and a normal call works."""
        assert self.proxy.alive(), f"wedged {after}\n{self.proxy.log[-6000:]}"
        assert self.call(transport, "plain", "echo", message="fine") == "fine", after


def words(result: dict) -> str:
    return "".join(block["text"] for block in result["content"] if block["type"] == "text")


@contextmanager
def fleet(folder: Path, mcps: dict[str, tuple[list, dict]], *options) -> Iterator[Bridge]:
    """One bridge for several children of the zoo, each with options of its own."""
    servers = {}
    for name, (child, own) in mcps.items():
        command, *arguments = zoo(*child)
        servers[name] = {"command": command, "args": arguments, "profile": "litellm"} | own
    (folder / "mcps.json").write_text(json.dumps({"mcpServers": servers}))
    with Bridge(None, "--config", folder / "mcps.json", *options) as bridge:
        yield bridge


class Balancer:
    """TCP in front of several bridges: each connection goes to the next one, whatever session it speaks of."""

    def __init__(self, *urls: str, port: int):
        self.port = port
        self.backends = itertools.cycle([(urlsplit(url).hostname, urlsplit(url).port) for url in urls])

    def __enter__(self) -> Self:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *exc) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which close alone would not
        self.listener.close()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.forward, args=[client, next(self.backends)], daemon=True).start()

    def forward(self, client: socket.socket, backend: tuple) -> None:
        with client, socket.create_connection(backend) as server:
            other = {client: server, server: client}
            while True:
                for source in select.select(list(other), [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    other[source].sendall(data)
