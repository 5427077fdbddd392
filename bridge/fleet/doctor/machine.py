"""What the machine itself has: room on its disks, free ports, a certificate, the right time, a way to the registries."""

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import bridge
from bridge.fleet import tls
from bridge.fleet.doctor.finding import FAILED, OK, Patient
from bridge.fleet.engines import docker
from bridge.fleet.engines.cache import cache
from bridge.fleet.engines.packages import trusting, uv
from bridge.fleet.engines.programs import Failed, run
from bridge.settings import UsageError

NEEDED = 1 << 30  # bytes: one image of the larger MCPs
AHEAD = 300.0  # seconds that two clocks may differ
SOMETHING = "pip"  # a package that every index has
PATIENCE = 20.0


def disk(patient: Patient) -> tuple[str, str, str]:
    """Room where the project writes, where packages go, and where Docker keeps its images, if that is a disk of this machine."""
    places = {patient.project.root}
    if patient.engine.name == "compose":
        root = docker.asked(["docker", "info", "--format", "{{.DockerRootDir}}"])
        places |= {Path(root.strip())} if isinstance(root, str) and root.strip() else set()
    else:
        places.add(cache())
    free = {str(place): shutil.disk_usage(_existing(place)).free for place in places if _existing(place) != Path("/") or place == Path("/")}
    least = min(free, key=free.__getitem__)
    seen = f"{free[least] / 1e9:.1f} GB free in {least}"
    if free[least] < NEEDED:
        return FAILED, f"the disk is full: {seen}", "mcp-bridge prune frees what was built and is not used"
    return OK, seen, ""


def ports(patient: Patient) -> tuple[str, str, str]:
    patient.engine.refuse_taken_ports(patient.fleet, patient.environment)
    return OK, "they are free, or ours", ""


def certificate(patient: Patient) -> tuple[str, str, str]:
    """What TLS_CERT and TLS_KEY of compose/.env are, and whether the door shows it."""
    said = patient.environment
    try:
        valid = tls.checked(said.values)
    except UsageError as error:
        seen, _, todo = str(error).rpartition(": ")
        return FAILED, seen, todo
    assert valid is not None  # it was asked for because there is one
    until = f"for {', '.join(valid.hosts)} until {valid.until:%Y-%m-%d}"
    if valid.ends_soon(datetime.now(UTC)):
        return OK, f"{until}, which is soon", "is it renewed? certbot renew --dry-run, acme.sh --cron"
    port = said.port("MCP_PORT", patient.fleet.port)
    if tls.shown_at(said.reached_at.strip("[]"), port) not in (None, valid.serial):
        return OK, f"{until}; the door shows another one", "mcp-bridge up; if that does not help: mcp-bridge logs certificate"
    name = said.values.get(tls.HOST)
    if name and name not in patient.fleet.hosts:
        return OK, until, f"LiteLLM is reached by no name but those of images/fleet.yaml: hosts: [{name}]"
    return OK, until, ""


def clock(patient: Patient) -> tuple[str, str, str]:
    """A clock that is wrong makes certificates and tokens invalid. Ours is behind if files are of the future; Docker's may be another one."""
    newest = max(path.stat().st_mtime for path in Path(bridge.__file__).parent.glob("*.py"))
    if (behind := newest - time.time()) > AHEAD:
        return (
            FAILED,
            f"the clock of this machine is wrong: files of mcp-bridge are from {behind / 3600:.1f} h later",
            "set it (timedatectl set-ntp true)",
        )
    if patient.engine.name == "compose":
        said = docker.asked(["docker", "info", "--format", "{{.SystemTime}}"])
        if isinstance(said, str) and abs(differs := docker.moment(said) - time.time()) > AHEAD:
            return FAILED, f"Docker's clock differs by {differs:.0f} s from that of this machine", "restart Docker, or its virtual machine"
    return OK, "right, as far as files can tell", ""


def registries(patient: Patient) -> tuple[str, str, str]:
    """Whether packages can be had from here, as `up` installs them."""
    tool = uv()
    if not tool:
        return FAILED, "uv, which installs packages, is not here and cannot be fetched", blocked("")
    try:
        run(
            [*tool, "pip", "compile", "--no-header", "--no-cache", "-"],
            PATIENCE,
            env={**trusting(), "UV_HTTP_RETRIES": "0"},
            stdin=SOMETHING,
        )
    except Failed as error:
        return FAILED, f"the package index cannot be reached from this machine: {error.reason}", blocked(error.printed)
    return OK, "packages can be had", ""


def blocked(printed: str) -> str:
    """What stands in the way, as well as that can be told from what a program printed."""
    said = printed.lower()
    for words, todo in (
        (
            ("certificate", "ssl", "tls"),
            "is the clock right? A proxy that opens TLS has a CA of its own: SSL_CERT_FILE, or the image's trust store",
        ),
        (("407", "proxy"), "is the proxy right? HTTP_PROXY, HTTPS_PROXY, NO_PROXY (for Docker: `proxies` in ~/.docker/config.json)"),
        (
            ("name resolution", "name or service", "resolve", "dns", "getaddrinfo", "eai_again"),
            'names are not found: the resolver of this machine, or "dns" in /etc/docker/daemon.json',
        ),
        (("timed out", "timeout"), "nothing comes back: does a firewall drop it?"),
    ):
        if any(word in said for word in words):
            return todo
    return "does a proxy or a firewall stand between?"


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if os.path.exists(one))
