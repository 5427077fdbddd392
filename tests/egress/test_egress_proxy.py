"""The egress proxy as its container runs it, with Debian's squid and unbound, between an MCP without a network and an internet of our own.

All stand in one network namespace, whose loopback has public-looking addresses: a name server and web servers live there (egress_inside.py).
The MCP is in a second one, which has nothing: its bridge's way to the proxy is a socket. Nothing of the product is turned off for that.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from egress_clients import GO, NODE, PYTHON, RAW
from environments.clients import egress_proxy, http_clients
from environments.debian import libraries, program
from environments.packages import node22, node24
from support import ROOT

from bridge.egress import PROXY
from bridge.fleet import Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import egress

HERE = Path(__file__).parent
LIST = ["api.example.com", "tls.example.com", "*.below.example", "odd.example:8443", "inside.example", "rebind.example", "203.0.113.10"]
GITHUB, OTHER = Stanza(name="github", command=["x"], egress=LIST), Stanza(name="other", command=["x"], egress=["other.example"])
OPENED = [
    "CONNECT api.example.com:443 HTTP/1.0",
    "CONNECT API.Example.COM:443 HTTP/1.0",
    "GET http://api.example.com/ HTTP/1.0",
    "CONNECT a.b.below.example:443 HTTP/1.0",
    "CONNECT odd.example:8443 HTTP/1.0",
    "CONNECT 203.0.113.10:443 HTTP/1.0",
]
NOT_LISTED, NOT_PUBLIC = "not in its egress list", "no public address has that name"
NO_WAY = "asked by no way that the proxy takes (CONNECT, plain HTTP)"
REFUSED = {  # and what is said of it
    "CONNECT evil.example:443 HTTP/1.0": ("evil.example", NOT_LISTED),
    "CONNECT other.example:443 HTTP/1.0": ("other.example", NOT_LISTED),  # of another MCP's
    "CONNECT below.example:443 HTTP/1.0": ("below.example", NOT_LISTED),
    "CONNECT odd.example:443 HTTP/1.0": ("odd.example", NOT_LISTED),
    "CONNECT api.example.com:8443 HTTP/1.0": ("api.example.com:8443", NOT_LISTED),
    "CONNECT api.example.com:22 HTTP/1.0": ("api.example.com:22", NOT_LISTED),
    "GET http://api.example.com:8080/ HTTP/1.0": ("api.example.com:8080", NOT_LISTED),
    "GET http://api.example.com@bad.example/ HTTP/1.0": ("bad.example", NOT_LISTED),
    "CONNECT inside.example:443 HTTP/1.0": ("inside.example", NOT_PUBLIC),
    "GET http://plain.below.example/ HTTP/1.0": ("plain.below.example", NOT_PUBLIC),
    "CONNECT nobody.below.example:443 HTTP/1.0": ("nobody.below.example", NOT_PUBLIC),
    "CONNECT 10.9.9.9:443 HTTP/1.0": ("10.9.9.9", NOT_LISTED),
    "CONNECT 168430090:443 HTTP/1.0": ("10.10.10.10", NOT_LISTED),
    "CONNECT [::ffff:10.9.9.8]:443 HTTP/1.0": ("10.9.9.8", NOT_LISTED),
    "CONNECT 203.0.113.20:443 HTTP/1.0": ("203.0.113.20", NOT_LISTED),
    "CONNECT 127.0.0.1:3128 HTTP/1.0": ("127.0.0.1:3128", NOT_LISTED),
    "CONNECT [::1]:443 HTTP/1.0": ("::1", NOT_LISTED),
    "GET http://169.254.169.254/latest/meta-data/ HTTP/1.0": ("169.254.169.254", NOT_LISTED),
    "GET http://egress:3128/squid-internal-mgr/info HTTP/1.0": ("egress:3128", NO_WAY),
    "GET ftp://api.example.com/ HTTP/1.0": ("api.example.com:21", NO_WAY),
}
URLS = ["https://tls.example.com/", "http://api.example.com/", "https://evil.example/"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What egress_inside.py saw."""
    folder = tmp_path_factory.mktemp("egress")
    programs = egress_proxy()
    _write_configuration(folder)
    python = http_clients()
    (folder / "main.go").write_text(GO)
    go, go_env, _ = program("go", "golang-go")
    subprocess.run(
        [*go, "build", "-o", folder / "go", folder / "main.go"],
        check=True,
        timeout=120,
        env={**os.environ, **go_env, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"},
    )
    certificate = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tls.example.com -addext subjectAltName=DNS:tls.example.com"
    subprocess.run([*certificate.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    trusted = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), folder / "cert.pem")
    said = {**egress.proxied(PROXY, ()), **trusted}
    urls = " ".join(URLS)
    for name, text in (("client.py", PYTHON), ("client.mjs", NODE), ("raw.py", RAW)):
        (folder / name).write_text(text)
    alone = f"""
        ip link set lo up
        cd {folder}
        {sys.executable} -m bridge serve --lazy --uds {folder}/bridge --egress {folder}/sockets/github/socket -- cat > bridge.log 2>&1 &
        trap "kill $!" EXIT
        for _ in $(seq 100); do grep -q listening bridge.log && break; sleep 0.1; done
        export {" ".join(f"{name}={value}" for name, value in said.items())}
        {python} client.py {urls}
        echo node 24
        {node24()} client.mjs {urls}
        echo node 22.20
        {node22()} client.mjs {URLS[0]}
        ./go {urls}
        {python} raw.py
    """
    questions = [("github", head) for head in (*OPENED, *REFUSED)]
    of_other = ["CONNECT other.example:443 HTTP/1.0", OPENED[0], "CONNECT 203.0.113.10:443 HTTP/1.0"]
    (folder / "plan.json").write_text(json.dumps({"questions": questions, "of_other": of_other, "alone": alone, "root": str(ROOT)}))
    inside = f"""
        mount --bind {programs}/usr/share /usr/share
        mount --bind {folder}/resolv.conf /etc/resolv.conf
        ip link set lo up
        for address in 203.0.113.10 203.0.113.20 203.0.113.53 10.9.9.9; do ip addr add $address/32 dev lo; done
        echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
        exec unshare --user --map-user=1000 --map-group=1000 {sys.executable} {HERE}/egress_inside.py {folder}
    """
    env = {**os.environ, **libraries(programs), "PATH": f"{programs}/usr/sbin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "--net", "sh", "-ec", inside],
        env=env | {"MCP_BRIDGE_UDS": str(folder / "metrics")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def _write_configuration(folder: Path) -> None:
    """The product's, but for places, and for how long names are kept: a second, so that the one that changes is asked for again."""
    for name, text in egress.conf(Fleet(stanzas=[GITHUB, OTHER])).items():
        own = text.replace(egress.SOCKETS, str(folder / "sockets")).replace(egress.FOLDER, str(folder))
        (folder / name).write_text(own.replace("dns_ttl 5 seconds", "dns_ttl 1 second").replace("negative-ttl: 5", "negative-ttl: 1"))
    with (folder / "squid.conf").open("a") as conf:
        conf.write(f"unlinkd_program /bin/true\nerror_directory {folder}/errors\n")  # Debian's are not where the package would have them
    (folder / "errors").mkdir()
    for name, text in egress.PAGES.items():
        (folder / "errors" / name).write_text(text)
    for stanza in (GITHUB, OTHER):
        (folder / "sockets" / stanza.name).mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 203.0.113.53\n")


@pytest.mark.parametrize("head", OPENED)
def test_what_is_in_the_list_is_reached(seen, head):
    assert seen["said"][head].startswith("HTTP/1.1 200 ") and "hello from 203.0.113.10" in seen["said"][head]


@pytest.mark.parametrize("head", REFUSED)
def test_everything_else_is_refused_told_and_counted(seen, head):
    said, (place, why) = seen["said"][head], REFUSED[head]
    host = place if place.startswith("::") else place.partition(":")[0]

    assert not said.startswith("HTTP/1.1 200") and "hello" not in said
    assert f"mcp=github host={place} refused: {why}\n" in seen["log"], seen["log"]
    assert f'mcp_bridge_egress_refusals_total{{mcp="github",host="{host}",reason="{why}"}}' in seen["metrics"]


def test_a_refusal_says_what_was_refused_and_what_decides_it(seen):
    assert "403 Forbidden" in seen["said"]["CONNECT evil.example:443 HTTP/1.0"]
    assert (
        "evil.example at port 443 is not in the egress list of this MCP: 'egress' in its stanza"
        in seen["said"]["CONNECT evil.example:443 HTTP/1.0"]
    )
    assert "inside.example has no public address" in seen["said"]["CONNECT inside.example:443 HTTP/1.0"]


def test_no_mcp_uses_the_list_of_another(seen):
    assert [said.split()[1] for said in seen["of_other"].values()] == ["200", "403", "403"]


def test_a_name_that_no_list_has_is_never_looked_up(seen):
    """Else a question to a name server would carry out what a request may not."""
    assert seen["lookups"]["inside.example"] and not set(seen["lookups"]) & {"evil.example", "other.example.evil.example", "below.example"}


def test_a_name_whose_address_turns_private_leads_there_at_no_time(seen):
    """Rebinding: every second answer of its name server is a private address, good for no second."""
    assert seen["lookups"]["rebind.example"] >= 4
    assert any("hello from 203.0.113.10" in said for said in seen["rebound"])
    assert any("no public address" in said for said in seen["rebound"])
    assert not any("hello from 10." in said for said in seen["rebound"])


@pytest.mark.parametrize("way", ["urllib", "httpx", "requests", "aiohttp", "node 24 fetch", "node 24 request", "go"])
def test_programs_get_through_by_the_variables_that_they_know(seen, way):
    assert came(seen, way, URLS[0]) == "hello from 203.0.113.20"
    assert came(seen, way, URLS[1]) == "hello from 203.0.113.10"
    assert re.search("403|Forbidden", came(seen, way, URLS[2])), came(seen, way, URLS[2])


@pytest.mark.parametrize("way", ["aiohttp without trust_env", "node 22.20 fetch", "node 22.20 request"])
def test_a_program_that_ignores_proxies_has_no_way_out(seen, way):
    assert "hello" not in came(seen, way, URLS[0])


def test_an_mcp_reaches_no_address_and_no_name_server_itself(seen):
    raw = [line for line in seen["programs"].splitlines() if line.startswith("raw")]

    assert len(raw) == 5 and not any("connected" in line for line in raw[:3]), raw
    assert raw[4] == "raw lookup -> no"


def test_the_proxy_ends_when_it_is_told_to(seen):
    assert seen["code"] == 0


def came(seen, way: str, url: str) -> str:
    """What a program printed."""
    part = seen["programs"]
    for mark in ("node 24", "node 22.20"):
        if way.startswith(mark):
            part, way = part.partition(f"{mark}\n")[2], way.removeprefix(f"{mark} ")
    return next(line.partition(" -> ")[2] for line in part.splitlines() if line.startswith(f"{way} {url} -> "))
