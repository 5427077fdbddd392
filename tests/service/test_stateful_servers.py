"""Real servers that remember, each session with a process of its own that was warm before it came."""

import http.server
import json
import threading
from collections.abc import Iterator

import psutil
import pytest
from bent import is_gone, pids
from environments import playwright, server
from support import Bridge, Http, Sse, Ws, eventually, text

OWN = ("--isolation", "session", "--spares", "2")


def two_spares(bridge: Bridge) -> list[int]:
    """Waits until both are ready; returns their pids."""
    return eventually(lambda: len(found := pids(bridge, "spare", "ready")) == 2 and found, 20)


def entity(name: str) -> dict:
    return {"name": name, "entityType": "test", "observations": [f"{name} was here"]}


def test_memory_serves_sessions_that_each_have_their_own_process(tmp_path, connect):
    with Bridge(server("memory"), *OWN, "--env", f"MEMORY_FILE_PATH={tmp_path / 'memory.jsonl'}") as bridge:
        used = []
        for kind, name in ((Http, "first"), (Sse, "second"), (Ws, "third")):
            spares = two_spares(bridge)
            client = connect(kind, bridge.url)
            created = client.call("create_entities", entities=[entity(name)])
            [own] = set(pids(bridge, "own")) - set(used)

            assert created["result"].get("isError", False) is False
            assert own in spares
            used.append(own)
        names = [node["name"] for node in json.loads(text(client.call("read_graph")))["entities"]]

        assert names == ["first", "second", "third"]
        client.close()
        eventually(lambda: is_gone(used[-1]))
        assert set(pids(bridge, "own")) == set(used[:2])


@pytest.fixture(scope="module")
def browser() -> list[str]:
    try:
        return playwright()
    except RuntimeError as error:
        pytest.skip(f"no browser can be had: {error}")


@pytest.fixture
def site() -> Iterator[str]:
    """Pages that say their path and count the visits of one browser in a cookie."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            cookie = self.headers.get("cookie", "")
            if self.path == "/favicon.ico":
                return self.send_error(404)
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("set-cookie", f"who={self.path.strip('/')}")
            self.end_headers()
            return self.wfile.write(f"<title>page {self.path}</title><p>path {self.path}, cookie [{cookie}]</p>".encode())

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_every_session_has_a_browser_of_its_own(browser, site, tmp_path, connect):
    """Pages, cookies and tabs of one are not the other's, and nothing is left of a browser whose session ended."""
    with Bridge(browser, *OWN, "--cwd", tmp_path) as bridge:
        spares = two_spares(bridge)
        one = connect(Http, bridge.url, timeout=30)
        [first] = pids(bridge, "own")
        two = connect(Ws, bridge.url, timeout=30)
        used = set(pids(bridge, "own"))
        for client, path in ((one, "alpha"), (two, "beta"), (one, "alpha-again")):
            answer = client.call("browser_navigate", url=f"{site}/{path}")
            assert answer["result"].get("isError", False) is False, text(answer)
        shown = [text(client.call("browser_snapshot")) for client in (one, two)]
        tree = [first, *(process.pid for process in psutil.Process(first).children(recursive=True))]

        assert used == set(spares)
        assert "path /alpha-again, cookie [who=alpha]" in shown[0]
        assert "path /beta, cookie []" in shown[1]
        assert len(tree) > 2  # a server and its browser's processes
        one.delete()
        eventually(lambda: all(is_gone(pid) for pid in tree), 10)
        assert "path /beta" in text(two.call("browser_snapshot"))
