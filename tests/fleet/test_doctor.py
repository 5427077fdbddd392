"""`mcp-bridge doctor`: what is wrong with a machine is told with the way out, before anything is built."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from environments.processes import free_port
from support import ROOT

from bridge.cli import main
from bridge.fleet import Fleet
from bridge.fleet.doctor import containers, machine
from bridge.fleet.doctor.finding import FAILED, OK, Patient
from bridge.fleet.engines import choice
from bridge.fleet.environment import Environment
from bridge.fleet.project import Project

OLD_DOCKER = """#!/bin/sh
case "$*" in
  "compose version --short") echo 2.20.3 ;;
  *) echo 26.1.5 ;;
esac
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "images/time").mkdir(parents=True)
    (tmp_path / "images/time/stanza.yaml").write_text(yaml.safe_dump({"command": "x"}))
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/.env").write_text(f"MCP_PORT={free_port()}\nLITELLM_PORT={free_port()}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "registries", lambda patient: (OK, "", ""))
    return Project(tmp_path)


def patient(project: Project, engine: str = "embedded") -> Patient:
    return Patient(project, Fleet.load(project.images), Environment({}), choice.engine(engine, project, print))


def checks(capsys, *words: str) -> tuple[int, dict[str, dict]]:
    code = main(["doctor", "--json", *words])
    return code, {one["name"]: one for one in json.loads(capsys.readouterr().out)["checks"]}


def test_a_machine_that_has_what_is_needed_is_told_so(project, capsys):
    code, found = checks(capsys, "--engine", "embedded")

    assert (code, {name: one["state"] for name, one in found.items()}) == (0, dict.fromkeys(("disk", "ports", "clock", "registries"), OK))


def test_a_port_that_is_taken_is_told_with_one_that_is_free(project, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.env_file.write_text(f"MCP_PORT={port}\nLITELLM_PORT={free_port()}\n")
        code, found = checks(capsys, "--engine", "embedded")

    assert (code, found["ports"]["state"], found["ports"]["seen"]) == (1, FAILED, f"port {port} is taken by another program")
    assert found["ports"]["todo"].startswith("end that, or write free ones into compose/.env: MCP_PORT=")
    assert found["disk"]["state"] == OK


def test_an_old_compose_is_told_and_nothing_else_is_asked_of_docker(project, tmp_path, monkeypatch, capsys):
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(OLD_DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    code, found = checks(capsys, "--engine", "compose")

    assert (code, list(found)) == (1, ["Docker"])
    assert found["Docker"]["seen"] == "Docker Compose 2.20.3 is too old (2.23.1 is needed)"
    assert found["Docker"]["todo"] == "update docker-compose-plugin"
    assert main(["up", "--engine", "compose"]) == 1
    assert "mcp-bridge: Docker Compose 2.20.3 is too old" in capsys.readouterr().err


def test_a_full_disk_ends_up_before_anything_is_built(project, monkeypatch, capsys):
    monkeypatch.setattr(machine, "NEEDED", 1 << 60)  # more than any disk has

    assert main(["up", "--engine", "embedded"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-2].startswith("mcp-bridge: the disk is full: ") and said[-1] == "mcp-bridge prune frees what was built and is not used"


def test_on_a_disk_that_is_really_full_up_says_so_in_a_line_and_leaves_nothing_half_done(project):
    """A file system of two pages, in name spaces of its own: first nothing can be written, then there is no room to build."""
    root = project.root
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MCP_BRIDGE_FLEET_CACHE": str(root / "compose/cache")}
    full = (
        f"mount -t tmpfs -o size=8k,mode=755 none {root}/compose && {sys.executable} -m bridge up --engine embedded; echo code $?; ls -A {root}/compose/*; "
        f"mount -o remount,size=9m {root}/compose && {sys.executable} -m bridge up --engine embedded; echo code $?"
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", full], env=env, cwd=root, capture_output=True, text=True, timeout=60
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("mcp-bridge: ")]

    assert done.stdout.count("code 1") == 2 and len(told) == 2, done.stdout + done.stderr
    assert told[0].endswith(": No space left on device") and ".new" not in done.stdout
    assert told[1].startswith("mcp-bridge: the disk is full: 0.0 GB free in "), done.stderr


def test_a_clock_that_is_behind_the_files_that_it_made_is_told(project, monkeypatch):
    now = time.time()
    monkeypatch.setattr(machine.time, "time", lambda: now - 40 * 365 * 86400)
    state, seen, todo = machine.clock(patient(project))

    assert (state, "clock of this machine is wrong" in seen, "set it" in todo) == (FAILED, True, True)


@pytest.mark.parametrize(
    ("printed", "todo"),
    [
        ("Caused by: error sending request: invalid peer certificate: UnknownIssuer", "has a CA of its own"),
        ("npm error Tunneling socket could not be established, statusCode=407", "is the proxy right?"),
        ("[Errno -3] Temporary failure in name resolution", '"dns" in /etc/docker/daemon.json'),
        ("npm error code EAI_AGAIN", '"dns" in /etc/docker/daemon.json'),
        ("operation timed out", "does a firewall drop it?"),
        ("Connection reset by peer", "a proxy or a firewall"),
    ],
)
def test_what_stands_in_the_way_is_told_from_what_a_program_said(printed, todo):
    assert todo in machine.blocked(printed)


def test_an_index_that_cannot_be_reached_is_told(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{free_port()}/simple")
    state, seen, todo = machine.registries(patient(Project(tmp_path)))

    assert (state, bool(todo)) == (FAILED, True)
    assert seen.startswith("the package index cannot be reached from this machine: ")


def test_docker_without_addresses_for_more_networks_is_told(project, monkeypatch):
    """A VPN, or thirty other projects."""
    asked = []

    def run(command, patience):
        asked.append(command[1:3])
        raise containers.Failed(command, 1, "Error response from daemon: all predefined address pools have been fully subnetted")

    monkeypatch.setattr(containers, "run", run)
    monkeypatch.setattr(containers.docker, "asked", lambda command, environment=None: "")
    state, seen, todo = containers.networks(patient(project, "compose"))

    assert (state, asked) == (FAILED, [["network", "create"]])
    assert "no addresses left" in seen and "default-address-pools" in todo


def test_every_check_is_documented():
    text = (Path(__file__).parent.parent.parent / "docs/operations.md").read_text()

    assert all(f"| {name} |" in text for name in ("Docker", "disk", "ports", "certificate", "clock", "networks", "names", "registries"))
