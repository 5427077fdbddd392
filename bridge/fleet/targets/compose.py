"""compose/: one file for each MCP, which runs alone too, and compose.yaml with all of them, LiteLLM and Prometheus.

Networks: `mcp` leads nowhere outside and joins all services; `egress` is for those that must reach beyond, and for those
that publish a port, because Docker publishes nothing of a container that is on an internal network only. The sidecars are
not among these: the door shows all of them under one port.

Images have no name here: Compose calls them PROJECT-NAME, so that each checkout, with its COMPOSE_PROJECT_NAME in .env, has its own.

Each file includes what it needs, so that it can be started alone; the networks and the token stand in door.yaml.
"""

from collections.abc import Iterator
from typing import Any

from bridge.fleet.files import MADE_BY, File, generated_yaml
from bridge.fleet.model import Fleet
from bridge.fleet.stanza import REFERENCE, Stanza
from bridge.fleet.targets import dockerfile
from bridge.fleet.targets import litellm as gateway
from bridge.fleet.targets.sidecar import HOST, HARDENED, has_references, options, parts, scratch, variables
from bridge.fleet.targets.template import fill, template

USER = "10001:10001"
DEFAULT_KEY = "sk-loopback-only"
DEFAULT_TOKEN = "known-to-everybody"
THIS_MACHINE = f"{HOST}:host-gateway"  # by a name: Docker Desktop knows it, Docker on Linux must be told
NETWORKS = {"mcp": {"internal": True}, "egress": {}}
TOKEN = {"bridge_token": {"file": "${BRIDGE_TOKEN_FILE:-./defaults/bridge_token}"}}
DOCKER_SOCKET = "/var/run/docker.sock"
ZONE = {"TZ": "${TZ:-UTC}"}
COMMON = HARDENED | {
    "restart": "unless-stopped",
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
}


def render(fleet: Fleet) -> Iterator[File]:
    """Everything below compose/ but Prometheus' files."""
    for stanza in fleet.sidecars:
        yield generated_yaml(f"compose/{stanza.name}.yaml", sidecar(fleet, stanza), _about(stanza))
    yield generated_yaml("compose/compose.yaml", whole(fleet), "The whole fleet: docker compose -f compose/compose.yaml up -d")
    yield generated_yaml("compose/door.yaml", door(fleet), f"Every MCP under one port: http://127.0.0.1:{fleet.port}/NAME/mcp")
    yield generated_yaml("compose/database.yaml", database(fleet), "Postgres, with a role that can only read: profile `postgres`")
    values = {"port": str(fleet.port), "python_image": fleet.python_image, "health": dockerfile.health("python", path="/healthz"),
              "reserved": "door|litellm|prometheus|database", "mcps": _env_example(fleet)}
    for path, name in (("door/Dockerfile", "door.Dockerfile"), ("door/door.conf", "door.conf"), (".env.example", "env.example")):
        yield File(f"compose/{path}", f"# {MADE_BY}\n\n{fill(template(name), values)}")
    for path, name in (("door/door.sh", "door.sh"), ("database/reader.sh", "reader.sh")):
        first, _, rest = template(name).partition("\n")
        yield File(f"compose/{path}", f"{first}\n# {MADE_BY}\n{rest}")
    # The first line of these is what they hold: nothing can be said about it in them.
    yield File("compose/defaults/bridge_token", f"{DEFAULT_TOKEN}\n")
    yield File("compose/defaults/postgres_password", "loopback-only\n")
    yield File("compose/defaults/nothing", "")


def whole(fleet: Fleet) -> dict[str, Any]:
    return {
        "name": fleet.name,
        "include": ["door.yaml", "database.yaml", *(f"{stanza.name}.yaml" for stanza in fleet.sidecars)],
        "services": {"litellm": litellm(fleet), "prometheus": prometheus(fleet)},
        "volumes": {"prometheus": {}},
    }


def sidecar(fleet: Fleet, stanza: Stanza) -> dict[str, Any]:
    """The file of one MCP."""
    limits = stanza.limits
    given = (ZONE | {name: escaped(value, has_references=False) for name, value in options(stanza).items()}
             | {name: escaped(value) for name, value in variables(stanza).items()})
    service: dict[str, Any] = {
        "build": {"context": "..", "dockerfile": f"images/{stanza.name}/Dockerfile"},
    }
    if stanza.profile:
        service["profiles"] = [stanza.profile]
    if has_references(stanza.command):
        service["command"] = [escaped(word) for word in stanza.command]
    service |= {"environment": given, "secrets": ["bridge_token", *dict.fromkeys(stanza.stored(name).lower() for name in stanza.secrets)]}
    if volumes := [f"{escaped(volume.source)}:{volume.target}{':ro' * volume.read_only}" for volume in stanza.volumes]:
        service["volumes"] = volumes
    if "docker" in stanza.grants:
        service["volumes"] = [*volumes, f"{DOCKER_SOCKET}:{DOCKER_SOCKET}"]
        service["group_add"] = ["${DOCKER_GROUP:-0}"]  # the socket's, as `up` finds it
    service["networks"] = ["mcp", "egress"] if stanza.egress else ["mcp"]
    if stanza.egress:
        service["extra_hosts"] = [THIS_MACHINE]
    if stanza.needs:
        service["depends_on"] = {name: {"condition": "service_healthy", "required": False} for name in stanza.needs}
    service |= {"user": USER, **COMMON, "tmpfs": [_tmp(limits.memory)], "mem_limit": limits.memory, "pids_limit": limits.pids}
    if limits.cpus:
        service["cpus"] = limits.cpus
    if limits.shm:
        service["shm_size"] = limits.shm
    service["stop_grace_period"] = "15s"  # the bridge stops its child by a ladder that takes up to 10 s
    document: dict[str, Any] = {
        "name": fleet.name,
        "include": ["door.yaml", *(f"{name}.yaml" for name in stanza.needs)],
        "services": {stanza.name: service},
    }
    if stanza.secrets:
        document["secrets"] = {stanza.stored(name).lower(): {"file": _secret_file(stanza.stored(name), secret.optional)} for name, secret in stanza.secrets.items()}
    if named := {volume.named: {} for volume in stanza.volumes if volume.named}:
        document["volumes"] = named
    return document


def door(fleet: Fleet) -> dict[str, Any]:
    return {
        "name": fleet.name,
        "services": {"door": {
            "build": {"context": "..", "dockerfile": "compose/door/Dockerfile"},
            "environment": ZONE | {"LAN_BIND": "${LAN_BIND:-127.0.0.1}", "HAS_OWN_KEY": "${LITELLM_MASTER_KEY:+yes}"},
            "secrets": ["bridge_token"],
            "ports": [f"${{LAN_BIND:-127.0.0.1}}:${{MCP_PORT:-{fleet.port}}}:8000"],
            "networks": ["mcp", "egress"],
            "user": USER, **COMMON, "tmpfs": [_tmp("128m")], "mem_limit": "128m", "pids_limit": 32,
        }},
        "networks": NETWORKS,
        "secrets": TOKEN,
    }


def litellm(fleet: Fleet) -> dict[str, Any]:
    """LiteLLM's own image; only its config is mounted, and only the variables that this names are passed on."""
    named = [name for name in named_in(gateway.config(fleet)) if name not in ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN")]
    first = {"door": {"condition": "service_healthy"}}
    if "DATABASE_URL" in named:
        first["database"] = {"condition": "service_healthy", "required": False}
    return {
        "image": fleet.litellm.image_name,
        "command": ["--config", "/app/config.yaml", "--port", "4000"],
        "environment": ZONE | {
            "LITELLM_MASTER_KEY": f"${{LITELLM_MASTER_KEY:-{DEFAULT_KEY}}}",
            "BRIDGE_TOKEN": f"${{BRIDGE_TOKEN:-{DEFAULT_TOKEN}}}",
            **{name: f"${{{name}:-}}" for name in named},
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HOME": "/tmp",
        },
        "volumes": ["${LITELLM_CONFIG:-../litellm/config.yaml}:/app/config.yaml:ro"],
        "ports": ["${LAN_BIND:-127.0.0.1}:${LITELLM_PORT:-4000}:4000"],
        "networks": ["mcp", "egress"],
        **({"extra_hosts": [THIS_MACHINE]} if any(HOST in stanza.url for stanza in fleet.stanzas) else {}),
        "depends_on": first,
        "healthcheck": {"test": ["CMD", "python3", "-c", escaped(template("litellm_health.py"))],
                        "interval": "10s", "timeout": "8s", "start_period": "120s", "retries": 3},
        "user": USER, **COMMON, "tmpfs": [_tmp("2g")], "mem_limit": "2g", "pids_limit": 256,
        "stop_grace_period": "3s",  # it keeps nothing, and waits for its clients to leave
    }


def prometheus(fleet: Fleet) -> dict[str, Any]:
    return {
        "image": fleet.prometheus_image,
        "command": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus",
                    "--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=2GB"],
        "environment": ZONE,
        "secrets": ["bridge_token"],
        "volumes": ["${PROMETHEUS_CONFIG:-./prometheus.yml}:/etc/prometheus/prometheus.yml:ro",
                    "./alerts.yml:/etc/prometheus/alerts.yml:ro", "prometheus:/prometheus"],
        "ports": ["127.0.0.1:${PROMETHEUS_PORT:-9090}:9090"],  # it asks nobody who they are: never beyond this machine
        "networks": ["mcp", "egress"],
        "healthcheck": {"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/-/ready"],
                        "interval": "10s", "timeout": "5s", "start_period": "60s", "retries": 3},
        "user": "65534:65534", **COMMON, "mem_limit": "512m", "pids_limit": 128,
    }


def database(fleet: Fleet) -> dict[str, Any]:
    passwords = {name: {"file": f"${{{name.upper()}_FILE:-./defaults/postgres_password}}"}
                 for name in ("postgres_password", "postgres_reader_password")}
    return {
        "name": fleet.name,
        "services": {"database": {
            "image": fleet.postgres_image,
            "profiles": ["postgres"],
            "environment": ZONE | {"POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres",
                            "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password"},
            "secrets": list(passwords),
            "volumes": ["database:/var/lib/postgresql/data",
                        "./database/reader.sh:/docker-entrypoint-initdb.d/reader.sh:ro"],
            "networks": ["mcp"],
            "healthcheck": {"test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"],
                            "interval": "5s", "timeout": "4s", "start_period": "60s", "retries": 5},
            "user": "postgres", **COMMON, "tmpfs": [_tmp("1g"), "/run/postgresql:mode=1777,size=1m"],
            "mem_limit": "1g", "pids_limit": 256, "shm_size": "256m", "stop_grace_period": "30s",
        }},
        "networks": {"mcp": NETWORKS["mcp"]},
        "secrets": passwords,
        "volumes": {"database": {}},
    }


def _tmp(memory: str) -> str:
    return f"/tmp:mode=1777,size={scratch(memory)}"


def escaped(text: str, has_references: bool = True) -> str:
    """`text` for a compose file, where '$' begins a reference: the stanza's own references stay, any other is doubled.

    ${NAME} becomes ${NAME:-}: Compose would warn of it at each command, although the profile is not even chosen.
    """
    if not has_references:
        return text.replace("$", "$$")
    return "".join(f"${{{name}:-{default or ''}}}" if name else literal.replace("$", "$$") for literal, name, default in parts(text))


def named_in(config: Any) -> list[str]:
    """The variables that a LiteLLM config takes from the environment (`os.environ/NAME`), in their order."""
    if isinstance(config, dict | list):
        inner = config.values() if isinstance(config, dict) else config
        return list(dict.fromkeys(name for value in inner for name in named_in(value)))
    return [config.removeprefix("os.environ/")] if str(config).startswith("os.environ/") else []


def _about(stanza: Stanza) -> str:
    said = f"{stanza.description or stanza.name}."
    if needed := [*stanza.required_secrets, *stanza.required_variables]:
        said += f"\nProfile `{stanza.profile}`: it needs {', '.join(needed)}."
    return said


def _secret_file(name: str, optional: bool) -> str:
    """Relative to compose/. One that may be missing has a variable for its place, because Docker mounts only what is there."""
    return f"${{{name}_FILE:-./defaults/nothing}}" if optional else f"./secrets/{name}"


def _env_example(fleet: Fleet) -> str:
    """What each MCP can be told, as comments."""
    lines = []
    for stanza in fleet.sidecars:
        texts = [str(text) for text in (*stanza.env.values(), *stanza.command, *(volume.source for volume in stanza.volumes))]
        found = {match[1]: (match[2] or "")[2:] for text in texts for match in REFERENCE.finditer(text)}
        if not found and not stanza.secrets:
            continue
        lines.append(f"\n# {stanza.name}: {stanza.description}")
        for name, secret in ((stanza.stored(name), secret) for name, secret in stanza.secrets.items()):
            about = "; ".join(filter(None, ("optional" if secret.optional else "needed", secret.description)))
            lines += [f"# ({about}; a secret: here, or as the file compose/secrets/{name})", f"# {name}="]
        lines += [f"# {name}={value}" for name, value in found.items() if name not in stanza.secrets]
    return "\n".join(lines)
