"""DNS rebinding by a page in a real browser (basic/transports, "Security Warning").

The page's host first has the attacker's address and then ours, so to the browser all is one origin. Here one port does both:
its first connection is served the page, every later one is joined with the bridge.
"""

import re
import socket
import subprocess
import threading
from urllib.parse import urlsplit

import pytest
from environments.browser import chromium
from support import Bridge, zoo

PAGE = b"""<!doctype html><pre id=seen></pre><script>
const opened = {jsonrpc: "2.0", id: 1, method: "initialize",
  params: {protocolVersion: "2025-06-18", capabilities: {}, clientInfo: {name: "page", version: "1"}}};
const said = text => document.getElementById("seen").append(text + ";");
const tries = [
  ["simple", "/mcp", {method: "POST", body: JSON.stringify(opened)}],
  ["json", "/mcp", {method: "POST", body: JSON.stringify(opened),
    headers: {"content-type": "application/json", "accept": "application/json, text/event-stream"}}],
  ["modern", "/mcp", {method: "POST", body: JSON.stringify({...opened, method: "server/discover"}),
    headers: {"content-type": "application/json", "mcp-protocol-version": "2026-07-28"}}],
  ["sse", "/sse", {}], ["messages", "/messages?session_id=x", {method: "POST", body: "{}"}],
  ["metrics", "/metrics", {}], ["status", "/status.json", {}], ["page", "/", {}]];
const socket = new Promise(done => {
  const ws = new WebSocket("ws://" + location.host + "/ws", "mcp");
  ws.onopen = () => done("socket open"); ws.onerror = () => done("socket refused"); });
Promise.all(tries.map(([name, path, options]) =>
  fetch(path, options).then(answer => said(name + " " + answer.status), () => said(name + " failed"))))
  .then(() => socket).then(said).then(() => said("done"));
</script>"""


class Rebound:
    """A port that belongs to the attacker for one connection, and to the bridge from then on."""

    def __init__(self, bridge: str):
        self.bridge = urlsplit(bridge)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self.listener.accept()
        with client:
            client.recv(65536)
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE
            )
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((self.bridge.hostname, self.bridge.port))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_join, args=(one, other), daemon=True).start()


def _join(one: socket.socket, other: socket.socket) -> None:
    try:
        while chunk := one.recv(65536):
            other.sendall(chunk)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("options", [(), ("--host", "0.0.0.0", "--allowed-host", "bridge.lan")], ids=["loopback", "lan"])
def test_a_page_that_was_rebound_to_us_gets_nothing(options, tmp_path):
    with Bridge(zoo("echo"), *options) as bridge:
        rebound = Rebound(bridge.url)
        seen = _seen_by_a_browser(f"http://evil.example.com:{rebound.port}/", tmp_path)
        rebound.listener.close()

        assert seen.pop("socket") == "refused"
        assert seen == dict.fromkeys(("simple", "json", "modern", "sse", "messages", "metrics", "status", "page"), "403")
        assert bridge.metrics().value("mcp_bridge_gate_refusals_total", reason="host") >= 9  # the ninth is the socket, the tenth its icon
        assert bridge.metrics().value("mcp_bridge_sessions_opened_total") == 0


def _seen_by_a_browser(url: str, folder) -> dict[str, str]:
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
    command += [
        "--host-resolver-rules=MAP evil.example.com 127.0.0.1",
        "--no-proxy-server",
        "--virtual-time-budget=20000",
        "--dump-dom",
        url,
    ]
    page = subprocess.run(command, capture_output=True, timeout=120).stdout.decode()
    found = re.search(r"<pre id=\"seen\">(.*?)</pre>", page)
    assert found and found[1].endswith("done;"), page
    return dict(part.split(" ") for part in found[1].split(";") if " " in part)
