"""What a container gets: an engine that can build, an address for its networks, names, and a way to the registries."""

import secrets

from bridge.fleet.doctor.finding import FAILED, OK, SKIPPED, Patient
from bridge.fleet.doctor.machine import PATIENCE, SOMETHING, blocked
from bridge.fleet.engines import checkout, docker
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.targets.compose import flat

RUN = ["docker", "run", "--rm"]
FROM_POOLS = "fully subnetted", "non-overlapping", "no available network", "predefined address pools"
NAMES = "import socket, sys; [socket.getaddrinfo(name, 443) for name in sys.argv[1:]]"
PIP = "python -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --retries 0 --dest /tmp".split()
NPM = ["npm", "view", "--fetch-retries=0", "npm", "version"]


def engine(patient: Patient) -> tuple[str, str, str]:
    if why := patient.engine.unavailable():
        seen, _, todo = why.rpartition(": ")
        return FAILED, seen or why, todo if seen else "install Docker, or --engine embedded"
    return OK, "the engine answers, and has Compose and BuildKit", ""


def networks(patient: Patient) -> tuple[str, str, str]:
    """Whether Docker has addresses left for the fleet's networks: a VPN may have taken them, or thirty other projects."""
    project = checkout.name_of(patient.project)
    there = docker.asked(["docker", "network", "ls", "--quiet", "--filter", f"label={checkout.LABEL}.project={project}"])
    wanted = len(flat(patient.fleet, [stanza.name for stanza in patient.fleet.stanzas])["networks"])
    if isinstance(there, str) and len(there.split()) >= wanted:
        return OK, "they are there", ""
    names = [f"mcp-bridge-doctor-{secrets.token_hex(3)}" for _ in range(wanted)]
    try:
        for name in names:
            run(["docker", "network", "create", name], PATIENCE)
    except Failed as error:
        if not any(words in error.printed for words in FROM_POOLS):
            return FAILED, f"Docker makes no network: {error.reason}", "is its firewall (iptables) usable? Its log says more"
        return (
            FAILED,
            f"Docker has no addresses left for {wanted} more networks",
            'docker network prune, or more "default-address-pools" in /etc/docker/daemon.json',
        )
    finally:
        docker.asked(["docker", "network", "rm", "--force", *names])
    return OK, f"there is room for {wanted}", ""


def names(patient: Patient) -> tuple[str, str, str]:
    """Whether a container on a network of its own is found by its name, as LiteLLM finds the door."""
    name, image = f"mcp-bridge-doctor-{secrets.token_hex(3)}", _python(patient)
    if not image:
        return SKIPPED, "no image is here to try it with: `mcp-bridge up` fetches one", ""
    try:
        run(["docker", "network", "create", "--internal", name], PATIENCE)
        run([*RUN, "--network", name, "--network-alias", name, image, "python", "-c", NAMES, name], PATIENCE)
    except Failed as error:
        return (
            FAILED,
            f"containers do not find each other by name: {error.reason}",
            "restart Docker: its resolver (127.0.0.11) does not answer in containers",
        )
    finally:
        docker.asked(["docker", "network", "rm", "--force", name])
    return OK, "containers find each other", ""


def registries(patient: Patient) -> tuple[str, str, str]:
    """Whether packages can be had inside of a build."""
    image = _python(patient)
    if not image:
        return SKIPPED, "no image is here to try it with: `mcp-bridge up` fetches one", ""
    node = patient.fleet.pinned(patient.fleet.node_image)
    tried = {"Python": [image, *PIP, SOMETHING]}
    if any(stanza.kind == "node" for stanza in patient.fleet.stanzas) and docker.has_image(node):
        tried["npm"] = [node, *NPM]
    for what, command in tried.items():
        try:
            run([*RUN, *command], PATIENCE)
        except Failed as error:
            return FAILED, f"{what} packages cannot be had in a container: {error.reason}", blocked(error.printed)
    return OK, f"{' and '.join(tried)} packages can be had in a container", ""


def _python(patient: Patient) -> str:
    image = patient.fleet.pinned(patient.fleet.python_image)
    return image if docker.has_image(image) else ""
