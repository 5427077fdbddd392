"""`egress` in a stanza: what may stand there, and what squid, unbound, Compose and the others are told."""

import ipaddress
import re

import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from bridge.egress import PROXY
from bridge.egress.refusals import LINES, NAMES, OTHERS, Refusals
from bridge.fleet import Fleet
from bridge.fleet.egress import NEVER, Allowed, allowed
from bridge.fleet.files import remove_left_over, write
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import compose, door, egress, prometheus, render


def stanza(*names: str, name: str = "it", **more) -> Stanza:
    return Stanza(name=name, command=["x"], egress=list(names), **more)


@pytest.mark.parametrize(
    "written, meant",
    [
        (True, True),
        (False, False),
        ("yes", True),
        ("off", False),
        ([], False),
        ("api.github.com", ["api.github.com"]),
        (["API.GitHub.com", "api.github.com", "*.Atlassian.net"], ["api.github.com", "*.atlassian.net"]),
        (["git.example.com:8443", "8.8.8.8", "[2606:4700::1111]:53"], ["git.example.com:8443", "8.8.8.8", "[2606:4700::1111]:53"]),
        (["xn--bcher-kva.example", "_dmarc.example.com"], ["xn--bcher-kva.example", "_dmarc.example.com"]),
    ],
)
def test_egress_is_yes_no_or_names(written, meant):
    assert Stanza(name="it", command=["x"], egress=written).egress == meant


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "*.com",
        "com",
        "perhaps",
        "a.*.example",
        "*a.example.com",
        "https://api.example.com",
        "api.example.com/path",
        "api.example.com:0",
        "api.example.com:65536",
        "api.example.com:443:443",
        "user@api.example.com",
        "bücher.example",
        "-a.example",
        "a..example",
        "a.example.",
        f"{'a' * 64}.example",
        f"{'a.' * 130}example",
        # into squid.conf
        "api.example.com all",
        "api.example.com\nhttp_access allow all",
        "api.example.com\rx",
        "api.example.com#",
        'api".example.com',
        "api.example.com$",
        "(a|b).example.com",
        "a.example.com|evil.example",
        "${HOST}.example.com",
        "api.example.com\x00",
        "/etc/passwd.x",
        # inside, in whatever spelling
        "localhost",
        "a.localhost",
        "host.docker.internal",
        "nas.local",
        "box.lan",
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "10.0.0.1:8080",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::]",
        "::1",
    ],
)
def test_what_is_no_name_of_the_internet_is_refused(name):
    with pytest.raises(ValidationError, match="egress"):
        stanza(name)


def test_a_refused_name_says_the_way_out():
    for name, words in (("nas.local", "'egress: true' does"), ("*.com", "*.example.com"), ("https://a.b", "without a scheme")):
        with pytest.raises(ValidationError) as error:
            stanza(name)
        assert words in str(error.value)


def test_names_have_the_web_s_ports_unless_one_is_written():
    assert allowed(["api.example.com", "*.example.net:8443"]) == [
        Allowed("api.example.com", (80, 443)),
        Allowed("example.net", (8443,), below=True),
    ]


@pytest.mark.parametrize(
    "address",
    "10.1.2.3 172.31.0.1 192.168.0.1 127.0.0.1 169.254.169.254 100.100.100.200 0.0.0.1 198.18.0.1 224.0.0.1 255.255.255.255 192.0.0.192 168.63.129.16 "
    "::1 :: ::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2002:a00:1::1 2001::1".split(),
)
def test_no_private_address_is_in_an_answer_or_connected_to(address):
    """What unbound leaves out, and squid refuses beside that."""
    made = egress.conf(Fleet(stanzas=[stanza("a.example")]))
    one = ipaddress.ip_address(address)
    hidden = [ipaddress.ip_network(text) for text in re.findall(r"private-address: (\S+)", made["unbound.conf"])]
    inside = [ipaddress.ip_network(text) for text in re.search(r"acl inside dst (.*)", made["squid.conf"])[1].split()]

    assert any(one in network for network in hidden) and any(one in network for network in NEVER)
    mapped = getattr(one, "ipv4_mapped", None) or one  # squid keeps these as IPv4
    assert any(mapped in network for network in inside)


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.121.6", "2606:50c0:8000::154", "2a00:1450:4001:80b::200e"])
def test_what_is_public_is_in_none_of_these(address):
    assert not any(ipaddress.ip_address(address) in network for network in NEVER)


def test_squid_knows_each_mcp_by_an_address_and_lets_it_do_what_its_list_says():
    fleet = Fleet(stanzas=[stanza("api.github.com", "*.atlassian.net", "odd.example:8443", name="a"), stanza("x.example", name="b")])
    made = egress.conf(fleet)
    rules = [line for line in made["squid.conf"].splitlines() if line.startswith(("acl mcp", "http_access"))]

    assert made["mcps"].splitlines()[1:] == ["a 127.1.0.1 /run/egress/a/socket", "b 127.1.0.2 /run/egress/b/socket"]
    assert rules == [
        "http_access deny manager",
        "http_access deny !CONNECT !plain",
        "acl mcp0 src 127.1.0.1",
        "acl mcp0-ports-80-443 port 80 443",
        r"acl mcp0-names-80-443 dstdom_regex -n -i ^api\.github\.com$",
        r"acl mcp0-names-80-443 dstdom_regex -n -i ^.+\.atlassian\.net$",
        "http_access deny mcp0 mcp0-ports-80-443 mcp0-names-80-443 inside",
        "http_access allow mcp0 mcp0-ports-80-443 mcp0-names-80-443",
        "acl mcp0-ports-8443 port 8443",
        r"acl mcp0-names-8443 dstdom_regex -n -i ^odd\.example$",
        "http_access deny mcp0 mcp0-ports-8443 mcp0-names-8443 inside",
        "http_access allow mcp0 mcp0-ports-8443 mcp0-names-8443",
        "acl mcp1 src 127.1.0.2",
        "acl mcp1-ports-80-443 port 80 443",
        r"acl mcp1-names-80-443 dstdom_regex -n -i ^x\.example$",
        "http_access deny mcp1 mcp1-ports-80-443 mcp1-names-80-443 inside",
        "http_access allow mcp1 mcp1-ports-80-443 mcp1-names-80-443",
        "http_access deny all",
    ]


def test_an_mcp_with_a_list_has_no_network_and_a_socket_of_its_own():
    one, other = stanza("a.example", name="a"), Stanza(name="b", command=["x"], egress=True)
    fleet = Fleet(stanzas=[one, other])
    service = compose.sidecar(fleet, one)["services"]["a"]
    proxy = compose.egress(fleet)["services"]["egress"]

    assert service["network_mode"] == "none" and "networks" not in service and "extra_hosts" not in service
    assert "a-egress:/run/egress:ro" in service["volumes"] and service["environment"]["MCP_BRIDGE_EGRESS"] == "/run/egress/socket"
    assert service["environment"]["HTTPS_PROXY"] == service["environment"]["http_proxy"] == PROXY
    assert service["depends_on"]["egress"]["condition"] == "service_healthy"
    assert proxy["networks"] == ["outside"] and "a-egress:/run/egress/a" in proxy["volumes"] and "ports" not in proxy
    assert "networks" in compose.sidecar(fleet, other)["services"]["b"] and "egress" not in str(compose.sidecar(fleet, other)["services"])


def test_each_file_has_what_it_names_with_those_that_it_includes():
    """Each can be started alone, and is built by itself."""
    files = {
        file.path: yaml.safe_load(file.text)
        for file in render(Fleet(stanzas=[stanza("a.example"), stanza("b.example", name="b", needs=["database"])]))
        if re.fullmatch(r"compose/[\w-]+\.yaml", file.path)
    }

    def with_included(name: str) -> dict:
        one = files[f"compose/{name}"]
        parts = [one, *map(with_included, one.get("include", []))]
        return {
            key: {name: value for part in parts for name, value in (part.get(key) or {}).items()}
            for key in ("services", "volumes", "networks")
        }

    for path in files:
        whole = with_included(path.removeprefix("compose/"))
        for service in whole["services"].values():
            named = {source for volume in service.get("volumes", []) if (source := volume.partition(":")[0])[0] not in "./$"}
            assert named <= set(whole["volumes"]), path
            assert set(service.get("networks", [])) <= set(whole["networks"]), path
            assert set(service.get("depends_on", [])) <= set(whole["services"]), path


def test_beside_a_database_it_has_that_network_and_asks_it_without_the_proxy():
    fleet = Fleet(stanzas=[one := stanza("a.example", needs=["database"])])
    service = compose.sidecar(fleet, one)["services"]["it"]

    assert service["networks"] == ["database-it"] and service["environment"]["NO_PROXY"] == "localhost,127.0.0.1,::1,database"


def test_a_stanza_s_own_variable_wins():
    fleet = Fleet(stanzas=[one := stanza("a.example", env={"NO_PROXY": "b.example"})])
    assert compose.sidecar(fleet, one)["services"]["it"]["environment"]["NO_PROXY"] == "b.example"


def test_a_fleet_without_lists_has_no_proxy():
    fleet = Fleet(stanzas=[Stanza(name="a", command=["x"], egress=True), Stanza(name="b", command=["x"])])
    files = {file.path: file.text for file in render(fleet)}

    assert not any("egress" in path for path in files)
    assert not any("egress" in text for path, text in files.items() if path.startswith("compose/") and path != "compose/alerts.yml")
    assert [job["job_name"] for job in prometheus.config(fleet)["scrape_configs"]] == ["mcp"]


def test_what_a_list_has_made_goes_with_the_last_one(tmp_path):
    made = list(render(Fleet(stanzas=[stanza("a.example")])))
    write(tmp_path, made)

    assert remove_left_over(tmp_path, render(Fleet(stanzas=[stanza()]))) == [
        "compose/egress/Dockerfile",
        "compose/egress/mcps",
        "compose/egress/squid.conf",
        "compose/egress/unbound.conf",
        "compose/egress.yaml",
    ]


def test_prometheus_reads_the_proxy_through_the_door():
    fleet = Fleet(stanzas=[stanza("a.example")])

    assert prometheus.config(fleet)["scrape_configs"][1]["static_configs"] == [{"targets": ["egress:8000"]}]
    assert "server_name egress;" in door.conf(fleet)
    assert "egress" in compose.door(fleet)["services"]["door"]["networks"]["inside"]["aliases"]


def test_no_mcp_takes_the_name_of_the_proxy_or_of_another_s_way_out():
    with pytest.raises(ValidationError, match="taken by the fleet"):
        stanza(name="egress")
    with pytest.raises(ValidationError, match="the fleet's own"):
        stanza(volumes=["github-egress:/data"])


def test_in_kubernetes_it_reaches_the_proxy_at_a_port_of_its_own_and_nothing_else():
    fleet = Fleet(stanzas=[stanza("a.example", name="a"), stanza("b.example", name="b"), Stanza(name="c", command=["x"])])
    files = {file.path: list(yaml.safe_load_all(file.text)) for file in fleet.render("kubernetes")}
    documents = [
        one for path, every in files.items() for one in every if one["kind"] not in ("Kustomization", "PodMonitor", "PrometheusRule")
    ]
    policies = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "NetworkPolicy"}
    lists = next(one for one in files["kubernetes/egress.yaml"] if one["kind"] == "ConfigMap")["data"]
    ports = {line.split()[0]: int(line.split()[2]) for line in lists["mcps"].splitlines()[1:]}
    [container] = files["kubernetes/a.yaml"][0]["spec"]["template"]["spec"]["containers"]
    to_proxy = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "egress", "app.kubernetes.io/part-of": "mcp-bridge"}}}

    for one in documents:
        kubernetes_validate.validate(one, "1.31", strict=True)
    assert policies["a-egress"]["egress"] == [{"to": [to_proxy], "ports": [{"protocol": "TCP", "port": ports["a"]}]}]
    assert "c-egress" not in policies and ports["a"] != ports["b"]
    assert [rule["ports"][0]["port"] for rule in policies["egress"]["ingress"]] == [ports["a"], ports["b"], 8000]
    assert policies["egress"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "a"
    assert "10.0.0.0/8" in policies["egress"]["egress"][0]["to"][0]["ipBlock"]["except"]
    assert {"name": "HTTPS_PROXY", "value": f"http://egress:{ports['a']}"} in container["env"]


# ---- what was refused


def refused(host: str, address: str = "127.1.0.1", error: str = "ERR_NOT_LISTED", port: int = 443) -> str:
    return f"{address} {host} {port} - {error}"


def test_a_refusal_is_a_line_and_a_count():
    refusals = Refusals({"127.1.0.1": "github"})

    assert list(refusals.read(refused("evil.example"), 0)) == ["mcp=github host=evil.example refused: not in its egress list"]
    assert list(refusals.read(refused("evil.example", port=8443), 0)) == [
        "mcp=github host=evil.example:8443 refused: not in its egress list"
    ]
    assert 'mcp_bridge_egress_refusals_total{mcp="github",host="evil.example",reason="not in its egress list"} 2\n' in refusals.metrics()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        refused("a.example", error="-"),
        refused("a.example", address="127.0.0.1"),
        refused("a.example", error="ERR_CONNECT_FAIL"),
        "127.1.0.1 a.example 443 8.8.8.8 ERR_READ_ERROR",
    ],
)
def test_what_was_let_through_or_failed_beyond_is_no_refusal(line):
    assert list(Refusals({"127.1.0.1": "github"}).read(line, 0)) == []


def test_labels_and_lines_of_one_mcp_are_bounded_and_another_has_its_own():
    refusals = Refusals({"127.1.0.1": "bad", "127.1.0.2": "good"})
    said = [line for number in range(500) for line in refusals.read(refused(f"h{number}.example"), 1.0)]
    other = list(refusals.read(refused("evil.example", "127.1.0.2"), 2.0))

    assert len(said) == LINES and other == ["mcp=good host=evil.example refused: not in its egress list"]
    assert refusals.counts["bad", OTHERS, "not in its egress list"] == 500 - NAMES
    assert len(refusals.counts) == NAMES + 2
    assert next(refusals.read(refused("last.example"), 100.0)) == f"mcp=bad {500 - LINES} more refused: /metrics counts them"


@pytest.mark.parametrize("host", ['a"b', "a\\b", "a%0ab", "{}", "é", "x" * 300])
def test_no_host_speaks_prometheus_format_or_another_line(host):
    refusals = Refusals({"127.1.0.1": "it"})
    [line] = refusals.read(refused(host), 0)

    assert "\n" not in line and len(line) < 220
    assert refusals.metrics().splitlines()[2:] == [
        f'mcp_bridge_egress_refusals_total{{mcp="it",host="{OTHERS if host[0] != "x" else "x" * 128}",reason="not in its egress list"}} 1'
    ]
