"""compose/: what its files say, and that what they must never say is nowhere."""

import json
import os
import re
import subprocess

import pytest
import yaml
from kinds import COMMAND, FLEET, NODE, PYTHON, QUERY, SECRETIVE, WRAPPED, of

from bridge.fleet import Fleet, Stanza
from bridge.fleet.engines.starting import NEW_PASSWORDS
from bridge.fleet.files import write
from bridge.fleet.model import LiteLLM
from bridge.fleet.targets import compose
from bridge.fleet.targets import door as front
from bridge.fleet.targets.sidecar import scratch

FILES = {file.path: file.text for file in FLEET.render()}
SERVICES = {
    name: service
    for path, text in FILES.items()
    if re.fullmatch(r"compose/[^/]*\.yaml", path)
    for name, service in yaml.safe_load(text)["services"].items()
}
DOOR = yaml.safe_load(FILES["compose/door.yaml"])
EVERY = pytest.mark.parametrize("name", SERVICES)


def size_in_bytes(text: str) -> int:
    return int(text[:-1]) * {"k": 2**10, "m": 2**20, "g": 2**30}[text[-1]]


def service(stanza: Stanza) -> dict:
    return compose.sidecar(FLEET, stanza)["services"][stanza.name]


STAYING = pytest.mark.parametrize("name", [name for name in SERVICES if name not in ("keys", "certificate")])


@STAYING
def test_every_service_is_hardened(name):
    one = SERVICES[name]

    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"] and "cap_add" not in one
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["init"] is True
    assert one["user"] not in ("", "0", "root", "0:0")
    assert one["mem_limit"] and one["pids_limit"]
    assert one["restart"] == "unless-stopped"
    assert one["logging"]["options"]["max-size"]
    assert not {"privileged", "pid", "ipc", "devices"} & set(one) and one.get("network_mode", "none") == "none"


def test_what_makes_the_keys_has_no_network_no_right_and_an_end():
    """Root's volumes are written by root, but one that may do nothing else."""
    one = SERVICES["keys"]

    assert (one["network_mode"], one["cap_drop"], one["restart"]) == ("none", ["ALL"], "no") and "cap_add" not in one
    assert one["security_opt"] == ["no-new-privileges:true"] and set(one["environment"]) == {"TZ"}


def test_what_reads_the_operators_key_has_no_network_and_may_do_nothing_but_read():
    """It is started where compose/.env has TLS_CERT: nothing waits for it, because Compose would start it with that."""
    one, door = SERVICES["certificate"], SERVICES["door"]

    assert (one["network_mode"], one["cap_drop"], one["cap_add"]) == ("none", ["ALL"], ["DAC_READ_SEARCH"])
    assert one["read_only"] is True and one["security_opt"] == ["no-new-privileges:true"] and one["profiles"] == ["tls"]
    assert [volume for volume in one["volumes"] if not volume.endswith(":ro")] == ["tls:/run/tls"]
    assert "tls:/run/tls:ro" in door["volumes"] and not any("certificate" in service.get("depends_on", ()) for service in SERVICES.values())
    assert [name for name, service in SERVICES.items() if any("/run/tls" in str(volume) for volume in service.get("volumes", ()))] == [
        "door",
        "certificate",
    ]


@EVERY
def test_what_is_written_to_memory_leaves_half_of_it_to_the_processes(name):
    """Without a size it is half of the machine's, and a full /tmp gets the container killed."""
    sizes = [re.search(r"size=(\d+[kmg])$", mount) for mount in SERVICES[name].get("tmpfs", [])]

    assert all(sizes)
    assert sum(size_in_bytes(size[1]) for size in sizes) <= size_in_bytes(SERVICES[name]["mem_limit"]) * 0.51


@pytest.mark.parametrize(
    ("memory", "half"), [("512m", "256m"), ("1g", "512m"), ("3g", "1536m"), ("2g", "1g"), ("7m", "3584k"), ("7001k", "3500k")]
)
def test_half_of_a_memory_limit(memory, half):
    assert scratch(memory) == half


@EVERY
def test_ports_are_on_loopback_unless_the_operator_says_otherwise(name):
    for port in SERVICES[name].get("ports", []):
        assert re.match(r"(\$\{LAN_BIND:-127\.0\.0\.1\}|127\.0\.0\.1):", port)


def test_an_mcp_is_on_no_network_that_anything_else_is_on():
    networks = {stanza.name: SERVICES[stanza.name].get("networks", SERVICES[stanza.name].get("network_mode")) for stanza in FLEET.sidecars}

    assert networks.pop("git-host") == ["outside"]  # where containers do not see each other
    assert networks.pop("query") == ["database-query"]
    assert set(networks.values()) == {"none"}
    assert {name for name in SERVICES if "outside" in SERVICES[name].get("networks", [])} == {"git-host"}
    assert [name for name in SERVICES if "database-query" in SERVICES[name].get("networks", [])] == ["query", "database"]


def test_only_the_door_publishes_ports_and_grafana_where_it_is_wanted():
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"door", "dashboards"}
    assert SERVICES["dashboards"]["profiles"] and SERVICES["dashboards"]["environment"]["GF_SERVER_ENFORCE_DOMAIN"] == "true"


def test_inner_networks_have_no_way_out_and_no_address_on_this_machine():
    inner = {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}}

    assert DOOR["networks"]["inside"] == inner and yaml.safe_load(FILES["compose/database.yaml"])["networks"] == {"database-query": inner}
    assert DOOR["networks"]["outside"] == {"driver_opts": {"com.docker.network.bridge.enable_icc": "false"}}


def test_an_mcp_and_the_door_share_a_socket_that_nobody_else_sees():
    for stanza in FLEET.sidecars:
        volume = f"{stanza.name}-socket"

        assert {name for name in SERVICES if any(mount.startswith(f"{volume}:") for mount in SERVICES[name].get("volumes", []))} == {
            stanza.name,
            "door",
        }
        assert f"{volume}:/run/mcp/{stanza.name}:ro" in SERVICES["door"]["volumes"]
        assert DOOR["volumes"][volume]["driver_opts"]["o"] == "mode=1777,size=64k,nr_inodes=16"
    assert SERVICES["door"]["networks"]["inside"]["aliases"] == [stanza.name for stanza in FLEET.sidecars]


def test_each_sees_its_own_keys_and_an_mcp_a_hash():
    seen = {
        name: [mount for mount in one.get("volumes", []) if mount.startswith("keys-")] for name, one in SERVICES.items() if name != "keys"
    }

    assert {name: mounts for name, mounts in seen.items() if name in ("litellm", "prometheus", "database", "door")} == {
        "litellm": ["keys-litellm:/run/keys:ro"],
        "prometheus": ["keys-prometheus:/run/keys:ro"],
        "database": ["keys-database:/run/keys:ro"],
        "door": ["keys-door:/run/keys:ro"],
    }
    assert all(seen[stanza.name] == ["keys-mcp:/run/keys:ro"] for stanza in FLEET.sidecars)


def test_no_key_has_a_default_or_stands_in_an_environment():
    for path, text in FILES.items():
        if re.fullmatch(r"compose/[^/]*\.yaml", path):
            assert not re.search(r"\$\{[A-Z_]*(KEY|TOKEN|PASSWORD):-[^}]", text), path
    for name in ("litellm", "prometheus", "database", "door", "keys"):
        assert not re.search(r"\$\{[A-Z_]*(KEY|TOKEN|PASSWORD)", str(SERVICES[name])), name


def test_all_run_without_a_line_of_settings():
    """Compose warns of each reference without a default, even in a profile that is not chosen."""
    for path, text in FILES.items():
        if re.fullmatch(r"compose/[^/]*\.yaml", path):
            assert not re.search(r"(?<!\$)\$(\w|\{\w+\})", text), path


def test_the_whole_fleet_includes_every_mcp_that_runs_here():
    whole = yaml.safe_load(FILES["compose/compose.yaml"])

    assert whole["include"] == ["door.yaml", "database.yaml", *(f"{stanza.name}.yaml" for stanza in FLEET.sidecars)]
    assert set(whole["services"]) == {"litellm", "prometheus", "alertmanager", "dashboards"}
    assert not any("far-away" in path for path in FILES)  # it is elsewhere


def test_each_mcp_starts_alone_with_what_it_needs():
    assert compose.sidecar(FLEET, PYTHON)["include"] == ["door.yaml"]
    assert compose.sidecar(FLEET, QUERY)["include"] == ["door.yaml", "database.yaml"]
    assert service(QUERY)["depends_on"]["database"] == {"condition": "service_healthy", "required": False}
    assert all(
        one["depends_on"]["keys"]["condition"] == "service_completed_successfully"
        for name, one in SERVICES.items()
        if name not in ("keys", "certificate", "alertmanager", "dashboards")
    )


def test_the_time_zone_of_compose_env_reaches_every_container():
    documents = [yaml.safe_load(text) for path, text in FILES.items() if path.startswith("compose/") and path.endswith(".yaml")]
    services = {name: one for document in documents for name, one in document.get("services", {}).items()}

    assert {"litellm", "prometheus", "door", "database", "notes"} <= set(services)
    assert {one["environment"]["TZ"] for one in services.values()} == {"${TZ:-UTC}"}


def test_options_of_the_bridge_are_variables():
    assert service(NODE)["environment"] == {
        "TZ": "${TZ:-UTC}",
        "MCP_BRIDGE_NAME": "notes",
        "MCP_BRIDGE_TOKEN_FILE": "/run/keys/notes",
        "MCP_BRIDGE_CALLERS": "/run/callers/callers.yaml",
        "MCP_BRIDGE_UDS": "/run/mcp/socket",
        "MCP_BRIDGE_TRUSTED_PROXY": "unix${TRUSTED_PROXY:+,}${TRUSTED_PROXY:-}",
        "MCP_BRIDGE_PIN": "warn",
        "MCP_BRIDGE_PIN_FILE": "/run/approved/tools.lock.json",
        "MCP_BRIDGE_ISOLATION": "shared",
        "MCP_BRIDGE_MAX_IN_FLIGHT": "1",
        "MCP_BRIDGE_TOOL_ALLOW": "read_*",
        "MCP_BRIDGE_TOOL_DENY": "read_all",
        "MCP_BRIDGE_TOOL_RENAME": "read_one=look",
        "NOTES_FILE": "/data/$$1/notes.json",  # not a reference: '$' is doubled
        "STRICT": "true",
    }


def test_references_in_a_command_and_in_volumes_are_composes_own():
    assert service(NODE)["command"] == ["notes", "--file", "${NOTES:-/data/notes.json}"]
    assert service(NODE)["volumes"][3:] == ["${NOTES_DIR:-notes-data}:/data", "./papers:/papers:ro", "../images/notes:/run/approved:ro"]
    assert compose.sidecar(FLEET, NODE)["volumes"] == {"notes-data": {}}
    assert "command" not in service(PYTHON)


def test_secrets_are_files():
    document = compose.sidecar(FLEET, SECRETIVE)
    given = document["services"]["git-host"]

    assert given["secrets"] == ["host_token", "host_key", "extra"]
    assert document["secrets"] == {
        "host_token": {"file": "./secrets/HOST_TOKEN"},
        "host_key": {"file": "${HOST_KEY_FILE:-./defaults/nothing}"},  # it may be missing, and Docker mounts only what is there
        "extra": {"file": "${EXTRA_FILE:-./defaults/nothing}"},
    }
    assert given["environment"]["MCP_BRIDGE_SECRET"] == "HOST_TOKEN=/run/secrets/host_token,EXTRA=/run/secrets/extra"
    assert given["environment"]["HOST_KEY"] == "/run/secrets/host_key"


@pytest.mark.parametrize(
    ("stanza", "profiles"),
    [(PYTHON, None), (WRAPPED, None), (SECRETIVE, ["git-host"]), (QUERY, ["query"]), (COMMAND, ["tests"])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_needs_something_starts_only_when_it_is_asked_for(stanza, profiles):
    assert service(stanza).get("profiles") == profiles


def test_limits():
    one = service(SECRETIVE)

    assert (one["mem_limit"], one["pids_limit"], one["cpus"], one["shm_size"]) == ("1g", 64, 0.5, "256m")


def test_litellm_gets_the_variables_that_its_config_names_and_no_others_as_files():
    fleet = Fleet(stanzas=FLEET.stanzas, litellm={"base": {"model_list": [{"litellm_params": {"api_key": "os.environ/OPENAI_API_KEY"}}]}})
    said = compose.door(fleet)["configs"]

    assert said["said-OPENAI_API_KEY"] == {"content": "=${OPENAI_API_KEY:-}"} and "said-FAR_KEY" in said
    assert not any("HOST" in name for name in said)
    assert set(compose.litellm(fleet)["environment"]) == {"TZ", "LITELLM_LOCAL_MODEL_COST_MAP", "HOME"}


def test_litellm_waits_for_the_database_only_if_it_uses_one():
    with_database = of("1.77.3", base={"general_settings": {"database_url": "os.environ/DATABASE_URL"}})

    assert set(SERVICES["litellm"]["depends_on"]) == {"keys", "door"}
    assert set(compose.litellm(with_database)["depends_on"]) == {"keys", "door", "database"}
    assert (
        "database-litellm" in compose.litellm(with_database)["networks"]
        and "database-litellm" in compose.database(with_database)["networks"]
    )


def of_litellm(**said: object) -> dict:
    fleet = FLEET.model_copy(update={"litellm": LiteLLM(**said)})
    return {file.path: file for file in fleet.render()}


def test_litellm_starts_when_its_role_and_database_are_there():
    files = of_litellm(database=True)
    services = yaml.safe_load(files["compose/compose.yaml"].text)["services"]
    door, database = (yaml.safe_load(files[f"compose/{name}.yaml"].text) for name in ("door", "database"))

    assert services["litellm"]["depends_on"]["litellm-database"] == {"condition": "service_completed_successfully"}
    assert services["litellm"]["depends_on"]["database"] == {"condition": "service_healthy", "required": True}
    assert services["litellm"]["networks"] == ["inside", "front", "database-litellm"] and services["litellm-database"]["networks"] == [
        "database-litellm"
    ]
    assert {"said-LITELLM_SALT_KEY", "said-LITELLM_DATABASE_PASSWORD"} <= set(door["configs"])
    assert "profiles" not in database["services"]["database"] and "database-litellm" in database["services"]["database"]["networks"]
    assert all(files[path].is_program for path in ("compose/litellm/litellm", "compose/database/litellm.sh"))
    assert services["litellm-database"]["restart"] == "no" and services["litellm-database"]["cap_drop"] == ["ALL"]
    assert services["litellm"]["environment"]["STORE_MODEL_IN_DB"] == "False"
    assert services["litellm"]["stop_grace_period"] == "3s"  # a wedged 1.77.3 ignores SIGTERM


def test_litellm_reads_its_database_client_as_root_without_rights_unless_its_image_is_for_others():
    """The image keeps that client in /root; the other kind of image says so in its name."""
    services = yaml.safe_load(of_litellm(database=True)["compose/compose.yaml"].text)["services"]
    other = yaml.safe_load(of_litellm(database=True, image="ghcr.io/berriai/litellm-non_root:v1.77.3-stable")["compose/compose.yaml"].text)[
        "services"
    ]

    assert services["litellm"]["user"] == "0:0" and services["litellm"]["cap_drop"] == ["ALL"] and services["litellm"]["read_only"] is True
    assert other["litellm"]["user"] == "10001:10001" and "PRISMA_HOME_DIR" not in other["litellm"]["environment"]


def test_what_litellm_laid_into_its_database_is_not_run_by_the_superuser_that_makes_it():
    """Its role owns that database: of operators with one name, one of its own may fit better than Postgres' (CVE-2018-1058)."""
    before, _, inside = of_litellm(database=True)["compose/database/litellm.sh"].text.partition("\\connect litellm\n")
    first = next(line for line in inside.splitlines() if not line.startswith("--"))

    assert first == "set search_path = pg_catalog;"
    assert "revoke all on database template1 from public;" in before


@pytest.mark.parametrize("which", ["reader.sh", "litellm.sh", "NEW_PASSWORDS"])
def test_no_password_of_the_database_is_an_argument_which_lists_of_processes_show(which, tmp_path):
    script = NEW_PASSWORDS if which == "NEW_PASSWORDS" else of_litellm(database=True)[f"compose/database/{which}"].text
    for name in ("POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD", "LITELLM_DATABASE_PASSWORD"):
        (tmp_path / name).write_text("planted")
    psql = tmp_path / "psql"
    psql.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/arguments\ncat >/dev/null\n')
    psql.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres"}
    subprocess.run(["bash", "-c", script.replace("/run/keys", str(tmp_path))], env=variables, check=True)

    said = (tmp_path / "arguments").read_text()
    assert "ON_ERROR_STOP" in said and "planted" not in said


def test_who_wants_no_database_sees_none_of_it():
    files = of_litellm()

    assert not [path for path in files if "litellm.sh" in path or path.startswith("compose/litellm/")]
    services = yaml.safe_load(files["compose/compose.yaml"].text)["services"]
    assert "litellm-database" not in services and services["litellm"]["user"] == "10001:10001"
    assert "SALT" not in files["compose/door.yaml"].text and "STORE_MODEL" not in files["compose/compose.yaml"].text


def test_litellms_image_is_untouched():
    one = SERVICES["litellm"]

    assert one["image"] == "ghcr.io/berriai/litellm:v1.77.3-stable" and "build" not in one
    assert one["volumes"] == [
        "${LITELLM_CONFIG:-../litellm/config.yaml}:/app/config.yaml:ro",
        "./litellm_server.py:/litellm_server.py:ro",
        "keys-litellm:/run/keys:ro",
    ]
    assert "/litellm_server.py" in one["entrypoint"][2]


def test_litellms_health_check_is_python_that_compiles():
    *_, program = SERVICES["litellm"]["healthcheck"]["test"]

    compile(program.replace("$$", "$"), "healthcheck", "exec")


def test_the_door_knows_the_names_of_the_mcps_and_no_other():
    conf = FILES["compose/door/door.conf"]

    assert (
        set(re.findall(r"server_name (\S+);", conf))
        == set(re.findall(r"location /([a-z-]+)/ {", conf))
        == {stanza.name for stanza in FLEET.sidecars}
    )
    assert set(re.findall(r"proxy_pass (\S+);", conf)) == {
        f"http://mcp-{stanza.name}{end}" for stanza in FLEET.sidecars for end in ("", "/")
    } | {"http://$to"}
    assert re.findall(r"set \$to (\S+);", conf) == ["litellm:4000", "prometheus:9090"]


def test_origins_and_hosts_are_said_to_the_bridges_and_the_door():
    fleet = Fleet(
        stanzas=[Stanza(name="it", command="x", origins="https://own.example")], origins=["https://chat.example:8443"], hosts="nas.local"
    )
    conf = front.conf(fleet)

    assert (
        compose.sidecar(fleet, fleet["it"])["services"]["it"]["environment"]["MCP_BRIDGE_ALLOWED_ORIGIN"]
        == "https://chat.example:8443,https://own.example"
    )
    assert "'~*^https://chat\\.example:8443 ' 1;" in conf and "'~*^nas\\.local(:\\d+)?$' 1;" in conf
    assert "own.example" not in conf  # one MCP's page is not LiteLLM's


@pytest.mark.parametrize(
    "said",
    [
        {"origins": ["https://a;b"]},
        {"origins": ["https://a/'"]},
        {"origins": "*"},
        {"hosts": ["a b"]},
        {"hosts": "a';"},
        {"hosts": "$host"},
    ],
)
def test_what_nginx_would_read_is_no_origin_and_no_host(said):
    with pytest.raises(ValueError):
        Fleet(stanzas=[], **said)


def test_the_database_makes_a_role_that_can_only_read():
    script = FILES["compose/database/reader.sh"]

    assert "default_transaction_read_only = on" in script and "grant select" in script
    assert SERVICES["database"]["healthcheck"]["test"][1] == "pg_isready"
    assert SERVICES["database"]["profiles"] == ["postgres"]


def test_the_example_of_settings_sets_nothing():
    """Copied as it is, it changes nothing: an empty value that is there would count as said."""
    example = FILES["compose/.env.example"]

    assert all(not line or line.startswith("#") for line in example.splitlines())
    assert "# HOST_TOKEN=" in example and "from its settings" in example


@pytest.mark.parametrize("path", FILES)
def test_every_file_says_what_made_it(path):
    first = FILES[path].splitlines()[:3]

    assert path == "compose/defaults/nothing" or any("mcp-bridge render" in line for line in first)


def test_text_for_compose_keeps_references_and_doubles_other_dollars():
    assert compose.escaped("$A ${B} $$ ${C:-d} $") == "$$A ${B:-} $$$$ ${C:-d} $$"


def test_compose_takes_all_files_whatever_one_mcp_lacks(tmp_path):
    """A place that nobody named, and a secret that one MCP needs and another does not, made it refuse the whole fleet."""
    papers = Stanza(name="papers", command="x", volumes=["${PAPERS}:/papers", "${PAPERS}/old:/old", "${NOTES:-notes}:/notes"])
    fleet = Fleet(
        stanzas=[
            papers,
            Stanza(name="one", command="x", secrets=["KEY"]),
            Stanza(name="two", command="x", secrets={"KEY": {"optional": True}}),
        ]
    )
    write(tmp_path, fleet.render())
    (tmp_path / "compose/flat.json").write_text(json.dumps(compose.flat(fleet, ["two"])))
    said = {}
    for file, profiles in (("compose.yaml", "*"), ("compose.yaml", ""), ("flat.json", "*")):
        command = ["docker", "compose", "--file", str(tmp_path / "compose" / file), "--profile", profiles, "config", "--format", "json"]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}).stdout)

    assert [name for name in said["services"] if name in ("papers", "one", "two", "database")] == ["two"]
    assert not {"notes", "database"} & said["volumes"].keys()  # which Compose would make
