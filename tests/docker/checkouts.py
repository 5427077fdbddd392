"""Checkouts of their own for tests that run whole fleets: on other ports, and nothing of the developer's is touched."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from support import ROOT, eventually

MODEL = {"model_name": "fake", "litellm_params": {"model": "openai/fake", "api_key": "none", "api_base": "http://fake-openai:8080/v1"}}


def needs_docker() -> None:
    """Skip where there is none, fail where there must be one."""
    try:
        docker("info", patience=20)
    except (OSError, AssertionError, subprocess.TimeoutExpired):
        if os.environ.get("MCP_BRIDGE_REQUIRE_DOCKER"):
            pytest.fail("no Docker engine answers, and MCP_BRIDGE_REQUIRE_DOCKER is set")
        pytest.skip("no Docker engine answers here")


def docker(*words: str, patience: float = 120) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=patience)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Operator:
    """Somebody with a checkout and a shell."""

    def __init__(self, root: Path, project: str = ""):
        self.root, self.project = root, project
        for name in ("bridge", "images", "compose", "litellm", "tests/children"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".env", "secrets", "state"))
        for name in ("pyproject.toml", "README.md", ".dockerignore"):
            shutil.copy(ROOT / name, root / name)
        self.mcps, self.litellm, self.prometheus = (f"http://127.0.0.1:{port}" for port in free_ports(3))
        environment = {"MCP_PORT": self.mcps, "LITELLM_PORT": self.litellm, "PROMETHEUS_PORT": self.prometheus}
        (root / "compose/.env").write_text(
            "COMPOSE_PROFILES=tests\n" + "".join(f"{name}={url.rpartition(':')[2]}\n" for name, url in environment.items())
        )
        if project:
            (root / "images/fleet.yaml").write_text(f"name: {project}\n")
            self.says_also(f"COMPOSE_PROJECT_NAME={project}\n")
        base = root / "litellm/base.yaml"
        settings = yaml.safe_load(base.read_text())
        base.write_text(yaml.safe_dump({**settings, "model_list": [*settings.get("model_list", []), MODEL]}))

    def run(self, *words: str, code: int | None = 0, patience: float = 600) -> str:
        """What `mcp-bridge` prints. `code` None: any exit code will do."""
        command = [sys.executable, "-m", "bridge", words[0], "--project", str(self.root), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, cwd=self.root)
        assert code is None or done.returncode == code, (
            f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        )
        return done.stdout

    def refused(self, *words: str) -> str:
        """What it says where it does nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "bridge", words[0], "--project", str(self.root), *words[1:]], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1, done.stderr
        return done.stderr

    def says_also(self, lines: str) -> None:
        with (self.root / "compose/.env").open("a") as env:
            env.write(lines)

    def verify(self, *names: str) -> dict:
        return json.loads(self.run("verify", *names, "--json", code=None))

    def container(self, name: str) -> str:
        return f"{self.project}-{name}-1"

    def inspect(self, name: str) -> dict:
        return json.loads(docker("inspect", self.container(name)))[0]

    def all_is_well(self, *names: str) -> None:
        """Wait until `verify` says so. It takes seconds of a processor, so it is not asked before LiteLLM and the MCPs answer at all."""
        eventually(lambda: httpx.get(f"{self.litellm}/health/liveliness").status_code == 200, 180, "LiteLLM does not come back")
        for name in names:
            eventually(lambda: httpx.get(f"{self.mcps}/{name}/readyz").status_code == 200, 180, f"{name} does not come back")

        def is_ok() -> bool:
            verdict = self.verify(*names)
            assert verdict["ok"], f"the fleet does not heal: {troubles(verdict)}"
            return True

        eventually(is_ok, 180)


def troubles(verdict: dict) -> dict[str, list[str]]:
    """The failed hops of each MCP, and of what is shared."""
    return {
        report["name"]: [f"{hop['name']}: {hop.get('seen')}" for hop in report["hops"] if hop["state"] == "failed"]
        for report in (*verdict["mcps"], *verdict["shared"])
        if not report["ok"]
    }


def hops(verdict: dict, name: str) -> dict[str, str]:
    report = next(report for report in verdict["mcps"] if report["name"] == name)
    return {hop["name"]: hop["state"] for hop in report["hops"]}


def remove_images(project: str) -> None:
    """The layers stay in the build cache: the next run takes them."""
    if images := docker("image", "ls", "--quiet", "--filter", f"reference={project}-*").split():
        docker("image", "rm", "--force", *images)


# Knocks at each (host, port) of its argument, and says what answered.
KNOCK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def knock(target):
    host, port = target
    try:
        with socket.create_connection((host, port), 1.5) as peer:
            peer.settimeout(1.5)
            peer.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]) if port == 5432 else b'GET /metrics HTTP/1.0\\r\\n\\r\\n')
            return host, port, peer.recv(400).decode(errors='replace')
    except OSError as error:
        return host, port, ''

with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(knock, json.loads(sys.argv[1])))))
"""
