"""compose/: one file for each MCP, which runs alone too, and compose.yaml with all of them, LiteLLM and Prometheus.

Nothing of an MCP's is on a network that anything else is on. Its bridge listens on a Unix socket, in a small volume that it
shares with the door; the door has the MCP's name on the network `inside`, for LiteLLM and Prometheus, and shows it to this
machine. So an MCP without `egress` has no network at all, one with it is on `outside`, where containers do not see each
other, and one that needs the database shares a network with that alone. There is no address for each MCP, so forty of them
do not use up Docker's pools. The inner networks have no address on this machine (`inhibit_ipv4`): nothing on them reaches
what listens here. What was not taken: a network for each MCP and the door runs out of pools, and shows the door to the MCP.

Keys are made by the service `keys` at the first start, at random, where the operator names none. They are files in volumes,
each seen only by who needs it: `docker inspect` shows none, and an MCP has hashes. LiteLLM takes its keys from its
environment alone, so what starts it reads them (litellm_server.py, which also gives it another configuration without a new container).

Images have no name here: Compose calls them PROJECT-NAME, so that each checkout, with its COMPOSE_PROJECT_NAME in .env, has its own.

Each file includes what it needs, so that it can be started alone; networks, sockets and keys stand in door.yaml.
"""

from collections.abc import Collection, Iterator
from typing import Any

from bridge.egress import PROXY
from bridge.fleet import callers as known
from bridge.fleet.audits import AUDIT_FILE
from bridge.fleet.files import MADE_BY, File, generated_yaml
from bridge.fleet.model import OF_DATABASE, Fleet
from bridge.fleet.parts import REFERENCE
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import dockerfile, registry
from bridge.fleet.targets import door as front
from bridge.fleet.targets import egress as proxy
from bridge.fleet.targets import groups as together
from bridge.fleet.targets import litellm as gateway
from bridge.fleet.targets.sidecar import APPROVED, CALLER_SECRETS, HARDENED, HOST, has_references, options, parts, scratch, variables
from bridge.fleet.targets.template import fill, template

USER = "10001:10001"
THIS_MACHINE = f"{HOST}:host-gateway"  # by a name: Docker Desktop knows it, Docker on Linux must be told
INNER = {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}}
NETWORKS = {"inside": INNER, "front": {}, "outside": {"driver_opts": {"com.docker.network.bridge.enable_icc": "false"}}}
SOCKET = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "mode=1777,size=64k,nr_inodes=16"}}  # all that a child can fill
KEYS, CALLERS, TLS = "/run/keys", "/run/callers", "/run/tls"
READERS = ("litellm", "prometheus", "database", "door", "mcp")
OWN_KEYS = ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD")
LITELLM_DATABASE = "litellm-database"
LITELLM_ENTRY = f"""python="$(sed -n '1s/^#! *//p' "$(command -v litellm)")"
case "$python" in */python*) ;; *) python=python3 ;; esac
exec "$python" /litellm_server.py --keys {KEYS} "$@"
"""  # with the Python that its image has for it
# With a database the image's own entry point comes first, which may have to prepare it: what it then calls `litellm` is ours.
LITELLM_ENTRY_WITH_DATABASE = f"""PATH="/ours:$PATH" DATABASE_URL="$(cat {KEYS}/DATABASE_URL)"
export PATH DATABASE_URL
[ ! -x docker/prod_entrypoint.sh ] || exec docker/prod_entrypoint.sh "$@"
exec litellm "$@"
"""
PRISMA_OF_ROOT = {"PRISMA_HOME_DIR": "/root", "PRISMA_NODEENV_CACHE_DIR": "/root/.cache/prisma-python/nodeenv"}
NOTHING = "./defaults/nothing"  # an empty file
NO_CALLERS = "defaults/callers"  # a folder in which no caller has a value
AUDIT = "/run/audit"
AUDITED = {"MCP_BRIDGE_AUDIT": f"{AUDIT}/{AUDIT_FILE}", "MCP_BRIDGE_AUDIT_SIZE": str(20 << 20), "MCP_BRIDGE_AUDIT_FILES": "5"}
DOCKER_SOCKET = "/var/run/docker.sock"
DASHBOARDS = "dashboards"  # the service, and its profile
TRUSTED = {"MCP_BRIDGE_TRUSTED_PROXY": "unix${TRUSTED_PROXY:+,}${TRUSTED_PROXY:-}"}  # the door, and who is before it
ZONE = {"TZ": "${TZ:-UTC}"}
COMMON = HARDENED | {"restart": "unless-stopped", "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}}
AFTER_KEYS = {"keys": {"condition": "service_completed_successfully", "restart": True}}


def render(fleet: Fleet) -> Iterator[File]:
    """Everything below compose/ but Prometheus' files."""
    for stanza in fleet.sidecars:
        yield generated_yaml(f"compose/{stanza.name}.yaml", sidecar(fleet, stanza), _about(stanza))
    yield generated_yaml("compose/compose.yaml", whole(fleet), "The whole fleet: docker compose -f compose/compose.yaml up -d")
    yield generated_yaml("compose/door.yaml", door(fleet), f"Every MCP under one port: http://127.0.0.1:{fleet.port}/NAME/mcp")
    if fleet.listed:
        yield generated_yaml("compose/egress.yaml", egress(fleet), "The way out for MCPs that may reach some names only")
        yield from proxy.render(fleet)
    if fleet.groups:
        yield generated_yaml("compose/groups.yaml", groups(fleet), f"MCPs at one address: http://127.0.0.1:{fleet.port}/all/mcp")
        yield from together.render(fleet)
    yield generated_yaml("compose/database.yaml", database(fleet), "Postgres, with a role that can only read: profile `postgres`")
    values = {
        "port": str(fleet.port),
        "python_image": fleet.pinned(fleet.python_image),
        "health": dockerfile.health("python", path="/healthz", is_bridge=False),
        "mcps": _env_example(fleet),
    }
    for path, name in (("door/Dockerfile", "door.Dockerfile"), (".env.example", "env.example")):
        yield File(f"compose/{path}", f"# {MADE_BY}\n\n{fill(template(name), values)}")
    yield File("compose/door/door.conf", f"# {MADE_BY}\n\n{front.conf(fleet)}")
    yield File("compose/door/registry.json", registry.document(fleet))
    yield File("compose/door/fleet.json", front.facts(fleet))
    yield File("compose/door/names", f"# {MADE_BY}\n" + "".join(f"{stanza.name}\n" for stanza in fleet.sidecars) + _groups_line(fleet))
    for name in ("keys.py", "certificate.py", "litellm_server.py"):
        yield File(f"compose/{name}", f"# {MADE_BY}\n{template(name)}")
    for path, name in (("database/reader.sh", "reader.sh"), ("alertmanager.sh", "alertmanager.sh")):
        first, _, rest = template(name).partition("\n")
        yield File(f"compose/{path}", f"{first}\n# {MADE_BY}\n{rest}")
    if fleet.litellm.database:
        for path, name in (("database/litellm.sh", "litellm_database.sh"), ("litellm/litellm", "litellm.sh")):
            first, _, rest = template(name).partition("\n")
            yield File(f"compose/{path}", f"{first}\n# {MADE_BY}\n{rest}", is_program=True)
    yield callers_file(fleet)
    yield File("compose/defaults/nothing", "")
    if fleet.caller_secrets:
        yield File(f"compose/{NO_CALLERS}/.nobody", "")


def callers_file(fleet: Fleet) -> File:
    """Who may do what, as every bridge is told. It is hot: what writes this file alone starts nothing anew."""
    return generated_yaml(
        f"compose/callers/{known.SHIPPED}",
        known.shipped(fleet.callers, litellm_may=fleet.litellm_may, with_groups=True),
        "Who may do what, for every bridge: images/fleet.yaml",
    )


def whole(fleet: Fleet) -> dict[str, Any]:
    return {
        "name": fleet.name,
        "include": [
            "door.yaml",
            "database.yaml",
            *(["egress.yaml"] if fleet.listed else []),
            *(["groups.yaml"] if fleet.groups else []),
            *(f"{stanza.name}.yaml" for stanza in fleet.sidecars),
        ],
        "services": {
            "litellm": litellm(fleet),
            **({LITELLM_DATABASE: litellm_database(fleet)} if fleet.litellm.database else {}),
            "prometheus": prometheus(fleet),
            "alertmanager": alertmanager(fleet),
            DASHBOARDS: dashboards(fleet),
        },
        "volumes": {"prometheus": {}},
    }


def flat(fleet: Fleet, starts: Collection[str]) -> dict[str, Any]:
    """All that is to start, these MCPs among it, in one file: Compose needs seconds for forty files that include each other. Of those that are
    not to start it would make the volumes, and refuse all where compose/.env makes one of them wrong."""
    sidecars = [stanza for stanza in fleet.sidecars if stanza.name in starts]
    together: dict[str, Any] = {"name": fleet.name}
    for document in (
        door(fleet),
        *([database(fleet)] if _uses_database(fleet) or any(stanza.needs for stanza in sidecars) else []),
        *([egress(fleet)] if fleet.listed else []),
        *([groups(fleet)] if fleet.groups else []),
        *(sidecar(fleet, stanza) for stanza in sidecars),
        whole(fleet),
    ):
        for section in ("services", "networks", "volumes", "secrets", "configs"):
            if section in document:
                together.setdefault(section, {}).update(document[section])
    return together


def sidecar(fleet: Fleet, stanza: Stanza) -> dict[str, Any]:
    """The file of one MCP."""
    limits = stanza.limits
    said = options(fleet, stanza, f"{KEYS}/{stanza.name}") | {
        "MCP_BRIDGE_CALLERS": f"{CALLERS}/{known.SHIPPED}",
        **(AUDITED if fleet.audit else {}),
        "MCP_BRIDGE_UDS": f"{front.SOCKETS}/socket",
        **({"MCP_BRIDGE_EGRESS": f"{proxy.SOCKETS}/socket"} if stanza.reaches else {}),
    }
    given = (
        ZONE
        | (proxy.proxied(PROXY, stanza.needs) if stanza.reaches else {})
        | {name: escaped(value, has_references=False) for name, value in said.items()}
        | {name: escaped(value) for name, value in variables(stanza).items()}
        | TRUSTED
    )
    service: dict[str, Any] = {"build": {"context": "..", "dockerfile": f"images/{stanza.name}/Dockerfile"}}
    if stanza.profile:
        service["profiles"] = [stanza.profile]
    if has_references(stanza.command):
        service["command"] = [escaped(word) for word in stanza.command]
    service["environment"] = given
    if stanza.secrets:
        service["secrets"] = list(dict.fromkeys(stanza.stored(name).lower() for name in stanza.secrets))
    service["volumes"] = [
        f"{_socket(stanza)}:{front.SOCKETS}",
        _keys("mcp"),
        *([f"{_way_out(stanza)}:{proxy.SOCKETS}:ro"] if stanza.reaches else []),
        f"./callers:{CALLERS}:ro",
        *([f"{stanza.name}-audit:{AUDIT}"] if fleet.audit else []),
        *(f"${{{name}_CALLERS:-./{NO_CALLERS}}}:{CALLER_SECRETS}/{name}:ro" for name in map(stanza.stored, stanza.caller_secrets)),
        *(f"{escaped(volume.source, nothing=NOTHING)}:{volume.target}{':ro' * volume.read_only}" for volume in stanza.volumes),
    ]
    if stanza.pin != "off":
        service["volumes"].append(f"../images/{stanza.name}:{APPROVED}:ro")  # a stanza holds no secret
    if "docker" in stanza.grants:
        service["volumes"].append(f"{DOCKER_SOCKET}:{DOCKER_SOCKET}")
        service["group_add"] = ["${DOCKER_GROUP:-0}"]  # the socket's, as `up` finds it
    if networks := [*(["outside"] if stanza.egress is True else []), *(f"{need}-{stanza.name}" for need in stanza.needs)]:
        service["networks"] = networks
    else:
        service["network_mode"] = "none"
    others = [*stanza.needs, *(["egress"] if stanza.reaches else [])]
    service["depends_on"] = AFTER_KEYS | {name: {"condition": "service_healthy", "required": False} for name in others}
    if stanza.egress is True:
        service["extra_hosts"] = [THIS_MACHINE]
    service |= {"user": USER, **COMMON, "tmpfs": [_tmp(limits.memory)], "mem_limit": limits.memory, "pids_limit": limits.pids}
    if limits.cpus:
        service["cpus"] = limits.cpus
    if limits.shm:
        service["shm_size"] = limits.shm
    service["stop_grace_period"] = "15s"  # the bridge stops its child in steps that take up to 10 s
    document: dict[str, Any] = {
        "name": fleet.name,
        "include": ["door.yaml", *(f"{name}.yaml" for name in others)],
        "services": {stanza.name: service},
    }
    if stanza.secrets:
        document["secrets"] = {
            stored.lower(): {"file": _secret_file(stored, stored in fleet.may_be_missing)} for stored in map(stanza.stored, stanza.secrets)
        }
    if named := [volume.named for volume in stanza.volumes if volume.named]:
        document["volumes"] = {name: {} for name in named}
    return document


def door(fleet: Fleet) -> dict[str, Any]:
    """What all others need: the door, the keys, the networks, and a socket for each MCP."""
    published = (
        ("${LAN_BIND:-127.0.0.1}", f"${{MCP_PORT:-{fleet.port}}}", f"${{TLS_CERT:+1}}{front.PUBLISHED}"),
        ("${LAN_BIND:-127.0.0.1}", "${LITELLM_PORT:-4000}", f"${{TLS_CERT:+1}}{front.LITELLM}"),
        ("127.0.0.1", "${PROMETHEUS_PORT:-9090}", front.PROMETHEUS),
    )  # Prometheus asks nobody who they are: never beyond this machine, and so without TLS
    said = [*OWN_KEYS, *(OF_DATABASE if fleet.litellm.database else ()), *_named(fleet)]
    audits = {stanza.name: f"{stanza.name}-audit" for stanza in fleet.sidecars} if fleet.audit else {}
    others = [*(["egress"] if fleet.listed else []), *([together.NAME] if fleet.groups else [])]
    own_keys = [f"keys-{together.NAME}"] if fleet.groups else []
    return {
        "name": fleet.name,
        "services": {
            "door": {
                "build": {"context": "..", "dockerfile": "compose/door/Dockerfile"},
                "environment": ZONE,
                "volumes": [
                    _keys("door"),
                    f"tls:{TLS}:ro",
                    *(f"{_socket(stanza)}:{front.SOCKETS}/{stanza.name}:ro" for stanza in fleet.sidecars),
                    *(f"{name}-socket:{front.SOCKETS}/{name}:ro" for name in others),
                ],
                "depends_on": AFTER_KEYS,  # and not on `certificate`, which Compose would start without being asked
                "ports": [f"{address}:{port}:{inside}" for address, port, inside in published],
                "networks": {"inside": {"aliases": [*(stanza.name for stanza in fleet.sidecars), *others]}, "front": {}},
                "user": USER,
                **COMMON,
                "tmpfs": [_tmp("128m")],
                "mem_limit": "128m",
                "pids_limit": 32,
            },
            "keys": {
                "image": fleet.pinned(fleet.python_image),
                "entrypoint": ["python", "-I", "/keys.py"],
                "environment": ZONE,
                "configs": [{"source": f"said-{name}", "target": f"/said/{name}"} for name in said],
                "volumes": [
                    "./keys.py:/keys.py:ro",
                    "./door/names:/names:ro",
                    *(f"keys-{reader}:/keys/{reader}" for reader in READERS),
                    *(f"{volume}:/keys/{together.NAME}" for volume in own_keys),
                    *(f"{volume}:/audit/{name}" for name, volume in audits.items()),
                ],
                "network_mode": "none",
                # Root without any right of root's, because new volumes are root's; writable, because Compose copies the configs into it.
                "user": "0:0",
                **COMMON,
                "read_only": False,
                "restart": "no",
                "mem_limit": "64m",
                "pids_limit": 16,
            },
            "certificate": certificate(fleet),
        },
        "networks": NETWORKS,
        "configs": {f"said-{name}": {"content": f"=${{{name}:-}}"} for name in said},
        "volumes": {**{f"keys-{reader}": {} for reader in READERS}, **{volume: {} for volume in own_keys}}
        | {"tls": SOCKET}
        | {_socket(stanza): SOCKET for stanza in fleet.sidecars}
        | {f"{name}-socket": SOCKET for name in others}
        | {volume: {} for volume in audits.values()},
    }


def egress(fleet: Fleet) -> dict[str, Any]:
    """The proxy of MCPs with a list. It is on no network that anything of the fleet is on; Prometheus reads it through the door."""
    ways = {_way_out(stanza): f"{proxy.SOCKETS}/{stanza.name}" for stanza in fleet.listed}
    return {
        "name": fleet.name,
        "include": ["door.yaml"],
        "services": {
            "egress": {
                "build": {"context": "..", "dockerfile": "compose/egress/Dockerfile"},
                "environment": ZONE | {"MCP_BRIDGE_UDS": f"{front.SOCKETS}/socket"},
                "volumes": [f"egress-socket:{front.SOCKETS}", *(f"{volume}:{place}" for volume, place in ways.items())],
                "networks": ["outside"],
                "sysctls": {"net.ipv4.ip_unprivileged_port_start": 0},  # squid asks a name server at port 53 only
                "user": USER,
                **COMMON,
                "tmpfs": [_tmp("128m")],
                "mem_limit": "384m",
                "pids_limit": 64,
            }
        },
        "volumes": dict.fromkeys(ways, SOCKET),
    }


def groups(fleet: Fleet) -> dict[str, Any]:
    """The bridge before the bridges. It has no network: it is asked by the door, and asks the MCPs, by sockets."""
    said = {
        "name": together.NAME,
        "config": "/run/groups.yaml",
        "token_file": f"{KEYS}/{together.NAME}",
        "callers": f"{CALLERS}/{known.SHIPPED}",
        "uds": f"{front.SOCKETS}/socket",
        **({"allowed_origin": ",".join(fleet.origins)} if fleet.origins else {}),
    }
    return {
        "name": fleet.name,
        "include": ["door.yaml"],
        "services": {
            together.NAME: {
                "build": {"context": "..", "dockerfile": f"{together.FOLDER}/Dockerfile"},
                "environment": ZONE | {f"MCP_BRIDGE_{name.upper()}": value for name, value in said.items()} | TRUSTED,
                "volumes": [
                    f"{together.NAME}-socket:{front.SOCKETS}",
                    f"${{GROUPS_CONFIG:-./groups/{together.CONFIG}}}:/run/groups.yaml:ro",
                    _keys("mcp"),
                    f"keys-{together.NAME}:{together.KEYS}:ro",
                    f"./callers:{CALLERS}:ro",
                    *(f"{_socket(stanza)}:{together.MEMBERS}/{stanza.name}:ro" for stanza in fleet.sidecars),
                ],
                "network_mode": "none",
                "depends_on": AFTER_KEYS,
                "user": USER,
                **COMMON,
                "tmpfs": [_tmp("128m")],
                "mem_limit": together.memory(fleet),
                "pids_limit": 32,
                "stop_grace_period": "15s",
            }
        },
    }


def certificate(fleet: Fleet) -> dict[str, Any]:
    """Gives the door what TLS_CERT and TLS_KEY are. It is started where they are said."""
    return {
        "image": fleet.pinned(fleet.python_image),
        "profiles": ["tls"],
        "entrypoint": ["python", "-I", "/certificate.py"],
        "environment": ZONE | {"TLS_CERT": "${TLS_CERT:-}", "TLS_KEY": "${TLS_KEY:-}"},
        "volumes": ["./certificate.py:/certificate.py:ro", "${TLS_FOLDER:-./defaults}:${TLS_FOLDER:-/nothing}:ro", f"tls:{TLS}"],
        "healthcheck": {
            "test": ["CMD", "test", "-s", f"{TLS}/1.pem"],
            "interval": "2s",
            "timeout": "4s",
            "start_period": "60s",
            "retries": 3,
        },
        "network_mode": "none",
        "user": "0:0",  # a key is its owner's alone, who may be anybody
        **COMMON,
        "cap_add": ["DAC_READ_SEARCH"],
        "mem_limit": "64m",
        "pids_limit": 16,
    }


def litellm(fleet: Fleet) -> dict[str, Any]:
    """LiteLLM's own image; only its config is mounted, and only the variables that this names are passed on."""
    first = AFTER_KEYS | {"door": {"condition": "service_healthy"}}
    own, uses_database = fleet.litellm.database, _uses_database(fleet)
    # The image keeps the programs that reach a database in /root. Root without any right of root's may read them, and nobody else.
    as_root = own and "non_root" not in fleet.litellm.image_name
    if uses_database:
        first["database"] = {"condition": "service_healthy", "required": own}
    if own:
        first[LITELLM_DATABASE] = {"condition": "service_completed_successfully"}
    return {
        "image": fleet.pinned(fleet.litellm.image_name),
        "entrypoint": ["/bin/sh", "-c", escaped(LITELLM_ENTRY_WITH_DATABASE if own else LITELLM_ENTRY), "--"],
        "command": ["--config", "/app/config.yaml", "--port", "4000"],
        "environment": ZONE
        | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": "/tmp"}
        | ({"STORE_MODEL_IN_DB": str(fleet.litellm.store_model_in_db)} | (PRISMA_OF_ROOT if as_root else {}) if own else {}),
        "volumes": [
            "${LITELLM_CONFIG:-../litellm/config.yaml}:/app/config.yaml:ro",
            "./litellm_server.py:/litellm_server.py:ro",
            *(["./litellm:/ours:ro"] if own else []),
            _keys("litellm"),
        ],
        "networks": ["inside", "front", *(["database-litellm"] if uses_database else [])],
        **({"extra_hosts": [THIS_MACHINE]} if any(HOST in stanza.url for stanza in fleet.stanzas) else {}),
        "depends_on": first,
        "healthcheck": {
            "test": [
                "CMD",
                "python3",
                "-c",
                escaped(fill(template("litellm_health.py"), {"key": f"Path('{KEYS}/LITELLM_MASTER_KEY').read_text()"})),
            ],
            "interval": "10s",
            "timeout": "15s",
            "start_period": "120s",
            "retries": 3,
        },
        "user": "0:0" if as_root else USER,
        **COMMON,
        "tmpfs": [_tmp("2g")],
        "mem_limit": "2g",
        "pids_limit": 256,
        "stop_grace_period": "3s",  # it keeps nothing, and waits for its clients to leave
    }


def litellm_database(fleet: Fleet) -> dict[str, Any]:
    """Makes LiteLLM's role and database, on a new volume and on an old one, and ends."""
    return {
        "image": fleet.pinned(fleet.postgres_image),
        "entrypoint": ["bash", "/litellm.sh"],
        "environment": ZONE,
        "volumes": ["./database/litellm.sh:/litellm.sh:ro", _keys("database")],
        "networks": ["database-litellm"],
        "depends_on": AFTER_KEYS | {"database": {"condition": "service_healthy"}},
        "user": "postgres",
        **COMMON,
        "restart": "no",
        "mem_limit": "64m",
        "pids_limit": 16,
    }


def prometheus(fleet: Fleet) -> dict[str, Any]:
    return {
        "image": fleet.pinned(fleet.prometheus_image),
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=2GB",
        ],
        "environment": ZONE,
        "volumes": [
            "${PROMETHEUS_CONFIG:-./prometheus.yml}:/etc/prometheus/prometheus.yml:ro",
            "./alerts.yml:/etc/prometheus/alerts.yml:ro",
            "prometheus:/prometheus",
            _keys("prometheus"),
        ],
        "networks": ["inside"],
        "depends_on": AFTER_KEYS,
        "healthcheck": _answers("http://127.0.0.1:9090/-/ready"),
        "user": "65534:65534",
        **COMMON,
        "mem_limit": "512m",
        "pids_limit": 128,
    }


def _answers(url: str) -> dict[str, Any]:
    """A health check for images that have Busybox."""
    return {"test": ["CMD", "wget", "-q", "-O", "/dev/null", url], "interval": "10s", "timeout": "5s", "start_period": "60s", "retries": 3}


def alertmanager(fleet: Fleet) -> dict[str, Any]:
    """Tells somebody of Prometheus' alarms. It is started where ALERTS_TO says whom."""
    return {
        "image": fleet.pinned(fleet.alertmanager_image),
        "profiles": ["alerts"],
        "entrypoint": ["/bin/sh", "/alertmanager.sh"],
        "command": ["--storage.path=/tmp/data", "--cluster.listen-address="],
        "environment": ZONE | {"ALERTS_TO": "${ALERTS_TO:-}"},
        "volumes": ["./alertmanager.sh:/alertmanager.sh:ro"],
        "networks": ["inside", "front"],
        "healthcheck": _answers("http://127.0.0.1:9093/-/ready"),
        "user": "65534:65534",
        **COMMON,
        "tmpfs": [_tmp("64m")],
        "mem_limit": "128m",
        "pids_limit": 64,
    }


def dashboards(fleet: Fleet) -> dict[str, Any]:
    """Grafana, with what it shows (`grafana.py`): profile `dashboards`. It keeps nothing, and nobody logs in.

    It is published by itself, to this machine only: the door would take its port also where nobody wants it."""
    said = {
        "SERVER_DOMAIN": "localhost",
        "SERVER_ENFORCE_DOMAIN": "true",  # for no other name: a web page could have its own point here
        "SERVER_ROOT_URL": "http://localhost:${GRAFANA_PORT:-3000}/",
        "AUTH_ANONYMOUS_ENABLED": "true",
        "AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "AUTH_BASIC_ENABLED": "false",
        "AUTH_DISABLE_LOGIN_FORM": "true",
        "SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
        "USERS_ALLOW_SIGN_UP": "false",
        "ANALYTICS_REPORTING_ENABLED": "false",
        "ANALYTICS_CHECK_FOR_UPDATES": "false",
        "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "NEWS_NEWS_FEED_ENABLED": "false",
        "PLUGINS_PREINSTALL_DISABLED": "true",
        "DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": "/etc/grafana/dashboards/fleet.json",
        "LOG_MODE": "console",
        "PATHS_DATA": "/tmp/data",
        "PATHS_LOGS": "/tmp/logs",
        "PATHS_PLUGINS": "/tmp/plugins",
    }
    return {
        "image": fleet.pinned(fleet.grafana_image),
        "profiles": [DASHBOARDS],
        "environment": ZONE | {f"GF_{name}": value for name, value in said.items()},
        "volumes": [
            "./dashboards/datasource.yml:/etc/grafana/provisioning/datasources/mcp.yml:ro",
            "./dashboards/provider.yml:/etc/grafana/provisioning/dashboards/mcp.yml:ro",
            *(f"./dashboards/{name}.json:/etc/grafana/dashboards/{name}.json:ro" for name in ("fleet", "mcp")),
        ],
        "ports": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
        "networks": ["inside", "front"],
        "healthcheck": _answers("http://localhost:3000/api/health"),
        "user": "472:0",
        **COMMON,
        "tmpfs": [_tmp("256m")],
        "mem_limit": "512m",
        "pids_limit": 128,
    }


def database(fleet: Fleet) -> dict[str, Any]:
    users = [*(stanza.name for stanza in fleet.sidecars if "database" in stanza.needs), *(["litellm"] if _uses_database(fleet) else [])]
    networks = [f"database-{name}" for name in users]
    return {
        "name": fleet.name,
        "include": ["door.yaml"],
        "services": {
            "database": {
                "image": fleet.pinned(fleet.postgres_image),
                **({} if fleet.litellm.database else {"profiles": ["postgres"]}),
                "environment": ZONE
                | {"POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres", "POSTGRES_PASSWORD_FILE": f"{KEYS}/POSTGRES_PASSWORD"},
                "volumes": [
                    "database:/var/lib/postgresql/data",
                    "./database/reader.sh:/docker-entrypoint-initdb.d/reader.sh:ro",
                    _keys("database"),
                ],
                **({"networks": networks} if networks else {"network_mode": "none"}),
                "depends_on": AFTER_KEYS,
                "healthcheck": {
                    "test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"],
                    "interval": "5s",
                    "timeout": "4s",
                    "start_period": "60s",
                    "retries": 5,
                },
                "user": "postgres",
                **COMMON,
                "tmpfs": [_tmp("1g"), "/run/postgresql:mode=1777,size=1m"],
                "mem_limit": "1g",
                "pids_limit": 256,
                "shm_size": "256m",
                "stop_grace_period": "30s",
            }
        },
        **({"networks": dict.fromkeys(networks, INNER)} if networks else {}),
        "volumes": {"database": {}},
    }


def _socket(stanza: Stanza) -> str:
    return f"{stanza.name}-socket"


def _groups_line(fleet: Fleet) -> str:
    """What the service that makes the keys is told of groups; no MCP can be called so."""
    return f"{together.NAME} {' '.join(fleet.group_names)}\n" if fleet.groups else ""


def _way_out(stanza: Stanza) -> str:
    return f"{stanza.name}-egress"


def _keys(reader: str) -> str:
    return f"keys-{reader}:{KEYS}:ro"


def _named(fleet: Fleet) -> list[str]:
    """The variables that LiteLLM's config names, beside the fleet's own keys."""
    return [name for name in named_in(gateway.config(fleet)) if name not in OWN_KEYS]


def _uses_database(fleet: Fleet) -> bool:
    return fleet.litellm.database or "DATABASE_URL" in _named(fleet)


def _tmp(memory: str) -> str:
    return f"/tmp:mode=1777,size={scratch(memory)}"


def escaped(text: str, has_references: bool = True, nothing: str = "") -> str:
    """`text` for a compose file, where '$' begins a reference: the stanza's own references stay, any other is doubled.

    ${NAME} becomes ${NAME:-}: Compose would warn of it at each command, although the profile is not even chosen. `nothing` is what it may
    be instead: for a volume from nowhere Compose refuses the whole file.
    """
    if not has_references:
        return text.replace("$", "$$")
    return "".join(f"${{{name}:-{default or nothing}}}" if name else literal.replace("$", "$$") for literal, name, default in parts(text))


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
    return f"${{{name}_FILE:-{NOTHING}}}" if optional else f"./secrets/{name}"


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
            about = "; ".join(filter(None, ("optional" if secret.optional or secret.is_per_caller else "needed", secret.description)))
            if secret.is_per_caller:
                lines += [f"# ({about}; each caller's own, as the file compose/secrets/{name}/CALLER; here: what lists are asked with)"]
            else:
                lines += [f"# ({about}; a secret: here, or as the file compose/secrets/{name})"]
            lines += [f"# {name}="]
        lines += [f"# {name}={value}" for name, value in found.items() if name not in stanza.secrets]
    return "\n".join(lines)
