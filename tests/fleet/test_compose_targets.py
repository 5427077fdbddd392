"""compose/: what its files say, and that what they must never say is nowhere."""

import re

import pytest
import yaml
from kinds import COMMAND, FLEET, NODE, PYTHON, QUERY, SECRETIVE, WRAPPED, of

from bridge.fleet import Fleet, Stanza
from bridge.fleet.targets import compose
from bridge.fleet.targets.sidecar import scratch

FILES = {file.path: file.text for file in FLEET.render()}
SERVICES = {
    name: service
    for path, text in FILES.items() if re.fullmatch(r"compose/[^/]*\.yaml", path)
    for name, service in yaml.safe_load(text)["services"].items()
}
EVERY = pytest.mark.parametrize("name", SERVICES)


def size_in_bytes(text: str) -> int:
    return int(text[:-1]) * {"k": 2**10, "m": 2**20, "g": 2**30}[text[-1]]


def service(stanza: Stanza) -> dict:
    return compose.sidecar(FLEET, stanza)["services"][stanza.name]


@EVERY
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
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & set(one)


@EVERY
def test_what_is_written_to_memory_leaves_half_of_it_to_the_processes(name):
    """Without a size it is half of the machine's, and a full /tmp gets the container killed."""
    sizes = [re.search(r"size=(\d+[kmg])$", mount) for mount in SERVICES[name].get("tmpfs", [])]

    assert all(sizes)
    assert sum(size_in_bytes(size[1]) for size in sizes) <= size_in_bytes(SERVICES[name]["mem_limit"]) * 0.51


@pytest.mark.parametrize(("memory", "half"), [("512m", "256m"), ("1g", "512m"), ("3g", "1536m"), ("2g", "1g"), ("7m", "3584k"), ("7001k", "3500k")])
def test_half_of_a_memory_limit(memory, half):
    assert scratch(memory) == half


@EVERY
def test_ports_are_on_loopback_unless_the_operator_says_otherwise(name):
    for port in SERVICES[name].get("ports", []):
        assert re.match(r"(\$\{LAN_BIND:-127\.0\.0\.1\}|127\.0\.0\.1):", port)


@EVERY
def test_only_what_leaves_or_is_published_is_on_a_network_that_leads_out(name):
    out = "egress" in SERVICES[name]["networks"]

    assert out == (name in ("door", "litellm", "prometheus", "git-host"))


def test_no_sidecar_publishes_a_port():
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"door", "litellm", "prometheus"}


def test_the_inner_network_leads_nowhere():
    assert yaml.safe_load(FILES["compose/door.yaml"])["networks"]["mcp"] == {"internal": True}


def test_all_run_without_a_line_of_settings():
    """Compose warns of each reference without a default, even in a profile that is not chosen."""
    for path, text in FILES.items():
        if re.fullmatch(r"compose/[^/]*\.yaml", path):
            assert not re.search(r"(?<!\$)\$(\w|\{\w+\})", text), path


def test_the_whole_fleet_includes_every_mcp_that_runs_here():
    whole = yaml.safe_load(FILES["compose/compose.yaml"])

    assert whole["include"] == ["door.yaml", "database.yaml", *(f"{stanza.name}.yaml" for stanza in FLEET.sidecars)]
    assert set(whole["services"]) == {"litellm", "prometheus"}
    assert not any("far-away" in path for path in FILES)  # it is elsewhere


def test_each_mcp_starts_alone_with_what_it_needs():
    assert compose.sidecar(FLEET, PYTHON)["include"] == ["door.yaml"]
    assert compose.sidecar(FLEET, QUERY)["include"] == ["door.yaml", "database.yaml"]
    assert service(QUERY)["depends_on"] == {"database": {"condition": "service_healthy", "required": False}}


def test_the_time_zone_of_compose_env_reaches_every_container():
    documents = [yaml.safe_load(text) for path, text in FILES.items() if path.startswith("compose/") and path.endswith(".yaml")]
    services = {name: one for document in documents for name, one in document.get("services", {}).items()}

    assert {"litellm", "prometheus", "door", "database", "notes"} <= set(services)
    assert {one["environment"]["TZ"] for one in services.values()} == {"${TZ:-UTC}"}


def test_options_of_the_bridge_are_variables():
    assert service(NODE)["environment"] == {
        "TZ": "${TZ:-UTC}",
        "MCP_BRIDGE_NAME": "notes",
        "MCP_BRIDGE_TOKEN_FILE": "/run/secrets/bridge_token",
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
    assert service(NODE)["volumes"] == ["${NOTES_DIR:-notes-data}:/data", "./papers:/papers:ro"]
    assert compose.sidecar(FLEET, NODE)["volumes"] == {"notes-data": {}}
    assert "command" not in service(PYTHON)


def test_secrets_are_files():
    document = compose.sidecar(FLEET, SECRETIVE)
    given = document["services"]["git-host"]

    assert given["secrets"] == ["bridge_token", "host_token", "host_key", "extra"]
    assert document["secrets"] == {
        "host_token": {"file": "./secrets/HOST_TOKEN"},
        "host_key": {"file": "${HOST_KEY_FILE:-./defaults/nothing}"},  # it may be missing, and Docker mounts only what is there
        "extra": {"file": "${EXTRA_FILE:-./defaults/nothing}"},
    }
    assert given["environment"]["MCP_BRIDGE_SECRET"] == "HOST_TOKEN=/run/secrets/host_token,EXTRA=/run/secrets/extra"
    assert given["environment"]["HOST_KEY"] == "/run/secrets/host_key"


@pytest.mark.parametrize(
    ("stanza", "profiles"), [(PYTHON, None), (WRAPPED, None), (SECRETIVE, ["git-host"]), (QUERY, ["query"]), (COMMAND, ["tests"])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_needs_something_starts_only_when_it_is_asked_for(stanza, profiles):
    assert service(stanza).get("profiles") == profiles


def test_limits():
    one = service(SECRETIVE)

    assert (one["mem_limit"], one["pids_limit"], one["cpus"], one["shm_size"]) == ("1g", 64, 0.5, "256m")


def test_litellm_gets_the_variables_that_its_config_names_and_no_others():
    fleet = Fleet(stanzas=FLEET.stanzas, litellm={"base": {"model_list": [{"litellm_params": {"api_key": "os.environ/OPENAI_API_KEY"}}]}})
    environment = compose.litellm(fleet)["environment"]

    assert environment["OPENAI_API_KEY"] == "${OPENAI_API_KEY:-}"
    assert environment["FAR_KEY"] == "${FAR_KEY:-}"
    assert not any("HOST" in name for name in environment)


def test_litellm_waits_for_the_database_only_if_it_uses_one():
    with_database = of("1.77.3", base={"general_settings": {"database_url": "os.environ/DATABASE_URL"}})

    assert set(SERVICES["litellm"]["depends_on"]) == {"door"}
    assert set(compose.litellm(with_database)["depends_on"]) == {"door", "database"}


def test_litellms_image_is_untouched():
    one = SERVICES["litellm"]

    assert one["image"] == "ghcr.io/berriai/litellm:v1.77.3-stable" and "build" not in one
    assert one["volumes"] == ["${LITELLM_CONFIG:-../litellm/config.yaml}:/app/config.yaml:ro"]


def test_litellms_health_check_is_python_that_compiles():
    *_, program = SERVICES["litellm"]["healthcheck"]["test"]

    compile(program.replace("$$", "$"), "healthcheck", "exec")


def test_the_door_knows_that_the_key_is_the_operators_without_seeing_it():
    assert SERVICES["door"]["environment"]["HAS_OWN_KEY"] == "${LITELLM_MASTER_KEY:+yes}"


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

    assert "defaults/" in path or any("mcp-bridge render" in line for line in first)


def test_text_for_compose_keeps_references_and_doubles_other_dollars():
    assert compose.escaped("$A ${B} $$ ${C:-d} $") == "$$A ${B:-} $$$$ ${C:-d} $$"
