"""An MCP dies, and somebody is told: real Prometheus with our rules, real Alertmanager with our script, a webhook that hears it."""

import json
import os
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from environments.debian import libraries, unpacked
from environments.processes import free_port
from support import Bridge, Http, eventually, zoo

from bridge.fleet import Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import prometheus
from bridge.fleet.targets.template import template
from bridge.pins.lock import Lock


@contextmanager
def running(command: list, env: dict[str, str] | None = None):
    process = subprocess.Popen(list(map(str, command)), env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def hook():
    """A webhook: its address, and what came."""
    heard = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook?key=a'b", heard
    server.shutdown()
    server.server_close()


def told(heard: list, status: str) -> list[dict]:
    return [alert for message in heard for alert in message["alerts"] if alert["status"] == status]


def test_an_mcp_that_is_killed_is_told_and_so_are_its_return_and_tools_that_turned_hostile(tmp_path, hook, connect):
    address, heard = hook
    programs = unpacked("prometheus", "prometheus", "prometheus-alertmanager")
    env = libraries(programs)
    port, alerting, asking = free_port(), free_port(), free_port()
    fleet = Fleet(stanzas=[Stanza(name="time", command=["x"], pypi="x==1")])
    # Ours, but for addresses, keys and pace.
    config = prometheus.config(fleet)
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    del config["scrape_configs"][0]["authorization"]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alerting}"]
    rules = prometheus.alerts()
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = "0s"
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / "alertmanager.sh").write_text(template("alertmanager.sh"))
    pace = {"ALERTS_WAIT": "200ms", "ALERTS_INTERVAL": "500ms", "ALERTS_STATE": str(tmp_path), "ALERTS_TO": address}
    program = {"ALERTMANAGER": str(programs / "usr/bin/prometheus-alertmanager")}
    flags = ["--cluster.listen-address=", f"--storage.path={tmp_path}/alarms", f"--web.listen-address=127.0.0.1:{alerting}"]
    with ExitStack() as stack:
        # Debian's looks for its template where the package would have it.
        there = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'mount --bind {programs}/usr/share /usr/share && exec sh "$@"', "sh"]
        stack.enter_context(running([*there, tmp_path / "alertmanager.sh", *flags], env | pace | program))
        files = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        stack.enter_context(running([programs / "usr/bin/prometheus", *files, f"--web.listen-address=127.0.0.1:{asking}"], env))
        with Bridge(zoo("echo"), "--name", "time", port=port) as bridge:
            eventually(lambda: bridge.metrics() and up(asking) == 1, 60)
            assert told(heard, "firing") == []
            bridge.kill()
        eventually(lambda: told(heard, "firing"), 60, "nobody was told")
        lock = tmp_path / "tools.lock.json"
        with Bridge(zoo("turns_hostile"), "--name", "time", "--pin", "warn", "--pin-file", lock, port=port) as bridge:
            eventually(lambda: told(heard, "resolved"), 60, "nobody was told that it is well again")
            client = connect(Http, bridge.url)
            lock.write_text(Lock.of(client.request("tools/list")["result"]["tools"]).text())
            client.call("turn")
            eventually(lambda: any(one["labels"]["alertname"] == "McpToolsUnapproved" for one in told(heard, "firing")), 60, "no alarm")
    firing = told(heard, "firing")[0]

    assert (firing["labels"]["alertname"], firing["labels"]["mcp"], firing["labels"]["severity"]) == ("McpAway", "time", "critical")
    assert "time does not answer" in firing["annotations"]["summary"]
    assert told(heard, "resolved")[0]["labels"]["mcp"] == "time"


def up(port: int) -> float:
    import httpx

    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": 'up{mcp="time"}'})
    except httpx.HTTPError:
        return 0
    found = answer.json()["data"]["result"] if answer.is_success else []  # it listens before it can answer: 503
    return float(found[0]["value"][1]) if found else 0


def written(tmp_path: Path, to: str) -> dict:
    """The configuration that the script makes of ALERTS_TO."""
    (tmp_path / "alertmanager.sh").write_text(template("alertmanager.sh"))
    env = {**os.environ, "ALERTS_TO": to, "ALERTS_STATE": str(tmp_path), "ALERTMANAGER": "true"}
    subprocess.run(["sh", tmp_path / "alertmanager.sh"], env=env, check=True, timeout=20, capture_output=True)
    return yaml.safe_load((tmp_path / "alertmanager.yml").read_text())["receivers"][0]


@pytest.mark.parametrize(
    "to, address",
    [
        ("https://hooks.example/a'b?c=d", "https://hooks.example/a'b?c=d"),
        ("ntfy://ntfy.sh/my-topic", "https://ntfy.sh/my-topic?template=alertmanager"),
        ("ntfys://ntfy.sh/my-topic?auth=x", "https://ntfy.sh/my-topic?auth=x&template=alertmanager"),
        ("ntfy+http://ntfy:8080/my-topic", "http://ntfy:8080/my-topic?template=alertmanager"),
    ],
)
def test_a_web_address_is_taken_as_it_is_and_only_its_owner_can_read_it(tmp_path, to, address):
    [hook] = written(tmp_path, to)["webhook_configs"]

    assert hook == {"send_resolved": True, "url": address}
    assert (tmp_path / "alertmanager.yml").stat().st_mode & 0o077 == 0


def test_mail_is_one_line_too(tmp_path):
    [mail] = written(
        tmp_path, "mailto:o'ps@example.org?smtp=mail.example.org:587&user=bot%40example.org&password=a%26b\\'c&from=bot@example.org"
    )["email_configs"]

    assert (mail["to"], mail["from"], mail["smarthost"]) == ("o'ps@example.org", "bot@example.org", "mail.example.org:587")
    assert mail["auth_username"] == "bot@example.org"
    assert Path(mail["auth_password_file"]).read_text() == "a&b\\'c"


@pytest.mark.parametrize("to", ["", "nobody", "mailto:ops@example.org", "ftp://x"])
def test_what_is_no_place_is_told(tmp_path, to):
    (tmp_path / "alertmanager.sh").write_text(template("alertmanager.sh"))
    env = {**os.environ, "ALERTS_TO": to, "ALERTS_STATE": str(tmp_path), "ALERTMANAGER": "true"}
    ended = subprocess.run(["sh", tmp_path / "alertmanager.sh"], env=env, timeout=20, capture_output=True, text=True)

    assert (ended.returncode, "ALERTS_TO in compose/.env says where" in ended.stderr) == (1, True)
