"""A gateway that looks like LiteLLM's and does one thing wrong, in front of a real bridge; and a Prometheus that says what it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx

KEY = "sk-right"


class FakeLiteLLM:
    """`wrong` is what it does wrong: wedged, key, list, fewer, more, call, wedged-by-call, or nothing."""

    def __init__(self, bridge: str, token: str, names: list[str]):
        self.bridge, self.names = bridge, names
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        self.wrong = ""
        self.hidden: list[str] = []  # tools that its config says not to show
        self.called: list[str] = []
        self.ended = threading.Event()  # lets those go whom we never answer

    def answer(self, request: dict, key: str) -> tuple[int, dict | None]:
        method, params = request["method"], request.get("params") or {}
        if method == "tools/call":
            self.called.append(params["name"])
        if self.wrong == "wedged" or (self.wrong == "wedged-by-call" and self.called):
            self.ended.wait(30)
            return 500, None
        if key != f"Bearer {KEY}":
            return 500, {"error": "MCP request failed", "details": ""}
        if method == "initialize":
            return 200, {"result": {"protocolVersion": "2025-06-18"}}
        if method == "tools/list":
            if self.wrong == "list":
                self.ended.wait(30)
            return 200, {"result": {"tools": [{"name": f"{name}-{tool}"} for name in self.names for tool in self.tools(name)]}}
        if self.wrong == "call":
            return 200, {"result": {"content": [{"type": "text", "text": "MCP client session is not initialized"}], "isError": False}}
        name, _, tool = params["name"].partition("-")
        return 200, {"result": self.ask(name, "tools/call", {"name": tool, "arguments": params["arguments"]})}

    def tools(self, name: str) -> list[str]:
        names = [tool["name"] for tool in self.ask(name, "tools/list", {})["tools"] if tool["name"] not in self.hidden]
        return names[1:] if self.wrong == "fewer" else [*names, "invented"] if self.wrong == "more" else names

    def ask(self, name: str, method: str, params: dict) -> dict:
        with httpx.Client(base_url=f"{self.bridge}/{name}", headers=self.headers, trust_env=False, timeout=10) as http:
            hello = http.post(
                "/mcp",
                json=message(
                    "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "fake", "version": "1"}}
                ),
            )
            if "mcp-session-id" not in hello.headers:  # LiteLLM leaves out what is away
                return {"tools": []}
            answer = http.post("/mcp", json=message(method, params), headers={"mcp-session-id": hello.headers["mcp-session-id"]})
        return answer.json()["result"]


def message(method: str, params: dict) -> dict:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


class FakePrometheus:
    """`health` and `calls` are what it says of every target; it scrapes them whenever it is asked. A list of healths is
    that of one scrape after the other, the last of them for good."""

    def __init__(self):
        self.health, self.calls, self.targets = "up", 1000, ["echo"]
        self.scrapes = 0
        self.refused: list[str] = []  # by the egress proxy

    def answer(self, path: str) -> dict | None:
        url = urlsplit(path)
        if url.path == "/api/v1/targets":
            self.scrapes += 1
            healths = [self.health] if isinstance(self.health, str) else self.health
            health = healths[min(self.scrapes, len(healths)) - 1]
            return {
                "data": {
                    "activeTargets": [
                        {
                            "labels": {"mcp": name, "job": "mcp"},
                            "scrapeUrl": f"http://{name}:8000/metrics",
                            "health": health,
                            "lastError": "server returned HTTP status 401",
                            "lastScrape": f"{2999 + self.scrapes}-01-01T00:00:00.123456789Z",
                        }
                        for name in self.targets
                    ]
                }
            }
        if url.path == "/api/v1/query":
            query = parse_qs(url.query)["query"][0]
            if "mcp_bridge_egress_refusals_total" in query:
                return {"data": {"result": [{"metric": {"host": host}, "value": [0, "1"]} for host in self.refused]}}
            assert "mcp_bridge_requests_total" in query
            return {"data": {"result": [{"value": [0, str(self.calls)]}]}}
        return {} if url.path == "/-/ready" else None


@contextmanager
def served(fake) -> Iterator[str]:
    """The fake at a URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if isinstance(fake, FakePrometheus):
                said = fake.answer(self.path)
                self.say(404 if said is None else 200, said or {})
            else:
                self.say(200, {"alive": True})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, said = fake.answer(request, self.headers["x-litellm-api-key"])
            self.say(status, {"jsonrpc": "2.0", "id": 1, **(said or {})})

        def say(self, status: int, said: dict) -> None:
            body = json.dumps(said).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # who asked is gone
                self.close_connection = True

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        if isinstance(fake, FakeLiteLLM):
            fake.ended.set()
        server.shutdown()
        server.server_close()
