"""The door of a fleet as it is, a real nginx with its configuration, on this machine: sockets beside it stand for the MCPs."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import httpx

from bridge.callers.tokens import hash_of
from bridge.fleet.targets import door, registry
from bridge.fleet.targets.template import template
from support.running import ROOT


class Door:
    """`seen` is what each MCP's socket heard, the newest last."""

    def __init__(self, folder, fleet):
        self.folder = folder
        names = [stanza.name for stanza in fleet.sidecars]
        for name in ("said", *(f"keys/{reader}" for reader in ("litellm", "prometheus", "database", "door", "mcp")), *names, "tls"):
            (folder / name).mkdir(parents=True)
        (folder / "names").write_text("".join(f"{name}\n" for name in names))
        for name in ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD"):
            (folder / "said" / name).write_text("=")
        program = template("keys.py")
        for name in ("said", "keys", "names"):
            program = program.replace(f'Path("/{name}")', f"Path({str(folder / name)!r})")
        exec(compile(program, "keys.py", "exec"), {"__name__": "__main__"})
        self.token = (folder / "keys/litellm/BRIDGE_TOKEN").read_text()
        self.watch = (folder / "keys/prometheus/PROMETHEUS_TOKEN").read_text()
        self.seen: list[tuple[str, str]] = []
        self.inside, self.published, self.secure = free_ports(3)
        (folder / "fleet.json").write_text(door.facts(fleet))
        (folder / "registry").mkdir()
        (folder / "registry/servers.json").write_text(registry.document(fleet))
        made = re.search(r'RUN cd /srv/registry && python -c "(.*?)"\n', template("door.Dockerfile"), re.DOTALL)[1].replace("\\\n", "")
        subprocess.run([sys.executable, "-c", made], cwd=folder / "registry", check=True)
        conf = door.conf(fleet)
        conf = conf.replace("/tmp/", f"{folder}/").replace("/run/keys/", f"{folder}/keys/door/").replace("/run/mcp/", f"{folder}/")
        conf = conf.replace("/srv/registry", f"{folder}/registry")
        conf = conf.replace("/srv/page", str(ROOT / "bridge/page")).replace("/etc/nginx/fleet.json", f"{folder}/fleet.json")
        for port, here in ((8000, self.inside), (8080, self.published)):
            conf = conf.replace(f"listen {port}", f"listen 127.0.0.1:{here}").replace(f" {port}'", f" {here}'")
        conf = conf.replace("/run/tls/", f"{folder}/tls/").replace(r":[024]\d[+-]", r":\d[02468][+-]")  # turns of a second
        conf = conf.replace("listen 18080", f"listen 127.0.0.1:{self.secure}")
        conf = conf.replace("'ours 18080'", f"'ours {self.secure}'")
        for port in (4000, 9090, 14000):
            conf = conf.replace(f"listen {port}", f"listen unix:{folder}/{port}")
        (folder / "door.conf").write_text("user root;\n" * (os.geteuid() == 0) + conf)

    def run(self):
        """nginx, as long as the `with` around it."""
        words = [
            shutil.which("nginx", path="/usr/sbin:/usr/bin"),
            "-e",
            "stderr",
            "-c",
            str(self.folder / "door.conf"),
            "-g",
            "daemon off;",
        ]
        return subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def listen(self, name: str, answer_with: bytes = b"HTTP/1.0 200 OK\r\n\r\nok") -> socket.socket:
        place = socket.socket(socket.AF_UNIX)
        place.bind(str(self.folder / name / "socket"))
        place.listen(9)

        def answer() -> None:
            while True:
                try:
                    peer, _ = place.accept()
                except OSError:
                    return
                with peer:
                    self.seen.append((name, peer.recv(9999).decode()))
                    peer.sendall(answer_with)

        threading.Thread(target=answer, daemon=True).start()
        return place

    def ask(self, port: int, path: str, host: str, **headers: str) -> tuple[str, str, str | None]:
        """Which MCP heard it, by whose key as this MCP knows it (or in which words), and what it saw as X-API-Key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        assert httpx.get(f"http://127.0.0.1:{port}{path}", headers={"host": host, **named}, trust_env=False).status_code == 200
        name, heard = self.seen[-1]
        assert self.token not in heard and self.watch not in heard
        lines = (self.folder / "keys/mcp" / name).read_text().splitlines()
        who = {line.split()[1]: line.split()[0] for line in lines}
        sent = header("authorization", heard) or ""
        return name, who.get(hash_of(sent.removeprefix("Bearer ")), sent), header("x-api-key", heard)


def header(name: str, heard: str) -> str | None:
    found = re.search(rf"(?im)^{name}: (.*?)\r?$", heard)
    return found[1] if found else None


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
