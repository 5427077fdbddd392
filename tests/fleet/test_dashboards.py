"""Grafana's dashboards: their form, and that each query says something when real traffic is scraped by the real Prometheus."""

import json
import os
import signal
import threading
from contextlib import ExitStack

import httpx
import pytest
import yaml
from environments.debian import libraries, unpacked
from environments.processes import free_port
from support import Bridge, Http, eventually, zoo
from test_alarms import running

from bridge.fleet import Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import compose, grafana, prometheus

BOTH = {"fleet": grafana.fleet(), "mcp": grafana.mcp()}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Asks the real Prometheus, which scrapes a bridge that is used meanwhile."""
    folder = tmp_path_factory.mktemp("dashboards")
    programs = unpacked("prometheus", "prometheus", "prometheus-alertmanager")
    port, asking = free_port(), free_port()
    config = prometheus.config(Fleet(stanzas=[Stanza(name="time", command=["x"], pypi="x==1")]), tells=False)
    config["global"] = {"scrape_interval": "200ms", "scrape_timeout": "190ms", "evaluation_interval": "500ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    del config["scrape_configs"][0]["authorization"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "alerts.yml").write_text(yaml.safe_dump(prometheus.alerts()))
    (folder / "tools.lock.json").write_text(json.dumps({"tools": {}}))
    files = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{asking}"]

    def answers(query: str) -> list[float]:
        try:
            got = httpx.get(f"http://127.0.0.1:{asking}/api/v1/query", params={"query": query})
        except httpx.HTTPError:  # it does not listen yet
            return []
        if got.status_code == 503:  # it listens before it can answer
            return []
        said = got.json()
        assert said["status"] == "success", (query, said)
        values = [float(one["value"][1]) for one in said["data"]["result"]]
        return [value for value in values if value == value]  # a graph shows nothing for NaN

    with ExitStack() as stack:
        stack.enter_context(running([programs / "usr/bin/prometheus", *files], libraries(programs)))
        bridge = stack.enter_context(Bridge(zoo("chatty"), "--name", "time", "--pin-file", folder / "tools.lock.json", port=port))
        client = stack.enter_context(Http(bridge.url))
        (process,) = bridge.status()["mcps"]["time"]["processes"]
        os.kill(process["pid"], signal.SIGKILL)
        is_over = threading.Event()
        busy = threading.Thread(target=_use, args=(client, is_over), daemon=True)
        busy.start()
        stack.callback(busy.join, 10)
        stack.callback(is_over.set)
        yield answers


def _use(client: Http, is_over: threading.Event) -> None:
    """Calls, errors, lists, and a session that there is not."""
    while not is_over.wait(0.05):
        client.call("echo", message="x")
        client.call("error")
        client.request("tools/list")
        client.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"mcp-session-id": "none"})


@pytest.mark.parametrize(("name", "title", "query"), [(name, *one) for name, board in BOTH.items() for one in grafana.queries(board)])
def test_each_query_of_a_panel_has_data_when_there_is_traffic(ask, name, title, query):
    whole = query.replace("$__rate_interval", "2s").replace("$mcp", "time")
    assert "$" not in whole

    assert eventually(lambda: ask(whole), 30, f"{name}: {title}: {whole}")


@pytest.mark.parametrize("name", BOTH)
def test_a_dashboard_is_of_the_form_that_grafana_reads(name):
    """https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""
    board = BOTH[name]
    panels = board["panels"]
    taken = [(x, y) for p in panels for x in _cells(p["gridPos"], "x", "w") for y in _cells(p["gridPos"], "y", "h")]
    source = grafana._source()["datasources"][0]

    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= set(board) and board.get("id") is None
    assert len({p["id"] for p in panels}) == len(panels) and len(set(taken)) == len(taken) and max(x for x, _ in taken) < 24
    for panel in panels:
        assert panel["type"] in ("stat", "timeseries") and panel["title"] and panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(one["datasource"] == {"type": "prometheus", "uid": source["uid"]} for one in (panel, *panel["targets"]))


def _cells(place: dict, start: str, size: str) -> range:
    return range(place[start], place[start] + place[size])


def test_what_grafana_is_given_lies_where_it_looks_and_nobody_can_log_in():
    made = {file.path: file.text for file in grafana.render()}
    service = compose.dashboards(Fleet(stanzas=[]))
    mounts = dict(volume.removesuffix(":ro").split(":", 1) for volume in service["volumes"])
    provider = yaml.safe_load(made["compose/dashboards/provider.yml"])["providers"][0]

    assert {f"compose/{path.removeprefix('./')}" for path in mounts} == set(made)
    assert {os.path.dirname(there) for here, there in mounts.items() if here.endswith(".json")} == {provider["options"]["path"]}
    assert {os.path.dirname(there) for here, there in mounts.items() if here.endswith(".yml")} == {
        "/etc/grafana/provisioning/datasources",
        "/etc/grafana/provisioning/dashboards",
    }
    assert service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounts.values()
    assert [port.rpartition(":")[0].partition(":")[0] for port in service["ports"]] == ["127.0.0.1"]
    assert service["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert service["environment"]["GF_AUTH_BASIC_ENABLED"] == "false"


def test_the_profile_has_no_mcps_name():
    """`grafana` is that of Grafana's own MCP."""
    with pytest.raises(ValueError, match="taken by the fleet"):
        Stanza(name="dashboards", command=["x"], pypi="x==1")
