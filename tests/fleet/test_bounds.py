"""What a stanza may not say, and that whatever it may say is nothing but text wherever it is written."""

import json
import re
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge import settings as options
from bridge.fleet import Fleet, Stanza, StanzaError, bounds
from bridge.fleet.targets import compose, dockerfile, kubernetes, litellm

GOOD = {"name": "it", "pypi": "a==1", "command": "a"}


def refused(**said) -> str:
    with pytest.raises(ValidationError) as error:
        Stanza.model_validate(GOOD | said)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.value.errors())


# ---- the fleet's names


@pytest.mark.parametrize(
    "name",
    [
        "LITELLM_MASTER_KEY",
        "litellm_master_key",
        "BRIDGE_TOKEN",
        "BRIDGE_TOKEN_FILE",
        "POSTGRES_PASSWORD",
        "Postgres_Reader_Password",
        "LITELLM_SALT_KEY",
        "MCP_BRIDGE_SESSION_KEY",
        "COMPOSE_FILE",
        "UI_PASSWORD",
    ],
)
def test_no_field_reaches_a_secret_of_the_fleet(name):
    assert any(words in refused(secrets=[name]) for words in ("is the fleet's own", "would turn the bridge"))
    for said in (
        {"env": {"A": f"${{{name}}}"}},
        {"env": {"A": f"x${{{name}:-y}}"}},
        {"command": ["a", f"--k=${{{name}}}"]},
        {"volumes": [f"${{{name}}}:/data"]},
    ):
        assert "is the fleet's own" in refused(**said), said
    remote = {"name": "far", "url": "https://far.example", "transport": "http"}
    for said in ({"auth": {"value_env": name}}, {"litellm": {"static_headers": {"X": f"os.environ/{name}"}}}):
        with pytest.raises(ValidationError, match="is the fleet's own"):
            Stanza.model_validate(remote | said)


@pytest.mark.parametrize(
    "text",
    ["$LITELLM_MASTER_KEY", "${A:-$LITELLM_MASTER_KEY}", "${LITELLM_MASTER_KEY-}", "${LITELLM_MASTER_KEY:?x}", "${LITELLM_MASTER_KEY:+x}"],
)
def test_another_spelling_of_a_reference_is_text(text):
    """Compose knows more spellings than a stanza has: these reach the child with every dollar that was written."""
    service = compose.sidecar(Fleet(stanzas=[]), Stanza.model_validate(GOOD | {"env": {"A": text}}))["services"]["it"]

    assert service["environment"]["A"] == text.replace("$", "$$")
    assert "is the fleet's own" in refused(env={"A": "${A:-${LITELLM_MASTER_KEY}}"})


@pytest.mark.parametrize(
    "name", ["MCP_BRIDGE_TOKEN_FILE", "mcp_bridge_host", "LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "OPENSSL_CONF", "GLIBC_TUNABLES"]
)
def test_no_variable_turns_the_bridge(name):
    assert "would turn the bridge itself" in refused(env={name: ""})
    assert "would turn the bridge itself" in refused(secrets={name: {"as": "file"}})


def test_variables_that_mean_the_server_alone_are_its_own():
    env = {
        "PYTHONPATH": "/app",
        "PYTHONUNBUFFERED": "1",
        "NODE_OPTIONS": "--max-old-space-size=64",
        "PATH": "/app:/usr/bin",
        "POSTGRES_HOST": "db",
    }

    assert Stanza.model_validate(GOOD | {"env": env}).env == env


# ---- its paths


@pytest.mark.parametrize(
    "source",
    [
        "/",
        "//",
        "/.",
        "/srv/..",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/var/../run//docker.sock",
        "/run",
        "/var/run",
        "/var",
        "/var/lib",
        "/var/lib/docker/volumes",
        "/home/me/.docker/run/docker.sock",
        "/proc",
        "/proc/1",
        "/sys",
        "/dev",
        "/etc",
        "/root",
        ".",
        "./",
        "..",
        "../",
        "../..",
        "./x/..",
        "./secrets",
        "./secrets/A",
        "./state",
        "../compose",
        "../compose/secrets",
        "./../compose/state",
        "../images",
        "../bridge",
        "../litellm/base.yaml",
        "./.env",
        "./time.yaml",
        "~",
        "~/notes",
        "~root",
        "${X:-/}",
        "${X:-.}secrets",
        "./${X:-secrets}",
        "${X:-/var/run/docker.sock}",
    ],
)
def test_no_volume_shows_the_fleet_or_rules_the_machine(source):
    said = refused(volumes=[f"{source}:/data"])

    assert any(words in said for words in ("the fleet's own", "rules", "machine's own", "whole path", "a volume's name")), said


@pytest.mark.parametrize(
    "source",
    [
        "/srv",
        "/home/me/notes",
        "/etc/localtime",
        "../data",
        "./papers",
        "../../shared",
        "notes",
        "${NOTES:-notes}",
        "${NOTES}",
        "/media/films",
    ],
)
def test_what_is_meant_is_mounted(source):
    assert Stanza.model_validate(GOOD | {"volumes": [f"{source}:/data:ro"]}).volumes[0].source == source


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/run",
        "/run/secrets",
        "/run/secrets/bridge_token",
        "/var/run/x",
        "/opt/bridge",
        "/opt",
        "/opt/bridge/lib",
        "/proc",
        "/etc",
        "/etc/ld.so.preload",
        "/usr/local/lib",
        "/lib",
        "/data/../run/secrets",
        "/data/./x",
        "//run",
        "/da ta",
        "/$HOME",
        "/a;b",
        "/a,b",
        '/a"b',
    ],
)
def test_no_volume_covers_what_is_not_the_servers(target):
    assert any(words in refused(volumes=[f"data:{target}"]) for words in ("covers", "a place in the container", "SOURCE:/TARGET"))


def test_a_link_to_the_fleets_keys_is_no_volume(tmp_path):
    (tmp_path / "images/it").mkdir(parents=True)
    (tmp_path / "compose/secrets").mkdir(parents=True)
    (tmp_path / "compose/papers").symlink_to("secrets")
    (tmp_path / "images/it/stanza.yaml").write_text("pypi: a==1\ncommand: a\nvolumes:\n  - ./papers:/papers\n")

    with pytest.raises(StanzaError, match=r"it/stanza.yaml:4: volumes.0: ./papers: .*is the fleet's own"):
        Fleet.load(tmp_path / "images")


def test_docker_s_socket_has_a_word_of_its_own():
    stanza = Stanza.model_validate(GOOD | {"grants": "docker"})
    service = compose.sidecar(Fleet(stanzas=[]), stanza)["services"]["it"]

    assert "/var/run/docker.sock:/var/run/docker.sock" in service["volumes"]
    assert "anything on this machine" in Stanza.model_fields["grants"].description


# ---- shapes of what a build reads


@pytest.mark.parametrize(
    "said",
    [
        {"apt": "git; rm"},
        {"apt": ["-o=x"]},
        {"apt": "$(x)"},
        {"cwd": "/srv; x"},
        {"cwd": "$HOME"},
        {"cwd": "srv"},
        {"files": "../x"},
        {"files": "a b"},
        {"files": "-x"},
        {"pypi": "", "image": "a;b"},
        {"pypi": "", "image": "--platform=x"},
        {"pypi": "", "image": "a AS b"},
        {"pypi": "-r==1"},
        {"constraints": "-r /etc/passwd"},
        {"overrides": "--index-url=https://x"},
        {"pypi": "", "binary": {"file": 'a"b'}},
        {"pypi": "", "binary": {"file": "$(x)"}},
        {"pypi": "", "binary": {"npm": "a@1", "path": "../../x"}},
        {"pypi": "", "binary": {"npm": "a;b@1", "path": "x"}},
        {"pypi": "", "binary": {"url": "https://a/$(x)", "sha256": {"amd64": "a" * 64}}},
        {"pypi": "", "binary": {"url": "https://a/b", "sha256": {"amd64": "a; x"}}},
        {"pypi": "", "binary": {"file": "a"}, "command": "/x/a;b"},
        {"pypi": "", "binary": {"file": "a"}, "command": ["$(x)"]},
        {"litellm": {"logo_url": "javascript:x"}},
        {"litellm": {"static_headers": {"A: b": "c"}}},
    ],
)
def test_nothing_that_a_build_reads_is_more_than_a_name(said):
    assert refused(**{key: value for key, value in said.items() if value != ""}, **({"pypi": []} if said.get("pypi") == "" else {}))


# ---- text

PLACES = {
    "description": lambda text: {"description": text},
    "command": lambda text: {"command": ["a", text]},
    "env": lambda text: {"env": {"A": text}},
    "secret": lambda text: {"secrets": {"A": {"description": text}}},
    "allow": lambda text: {"tools": {"allow": [text]}},
    "rename": lambda text: {"tools": {"rename": {text: "b"}}},
    "group": lambda text: {"litellm": {"access_groups": [text]}},
    "expect": lambda text: {"smoke": {"tool": "t", "expect": text}},
    "tool": lambda text: {"smoke": {"tool": text}},
    "volume": lambda text: {"volumes": [f"data:/{text}"]},
    "apt": lambda text: {"apt": text},
    "files": lambda text: {"files": text},
    "cwd": lambda text: {"cwd": f"/{text}"},
    "name of a variable": lambda text: {"env": {f"A{text}": "x"}},
    "cost": lambda text: {"litellm": {"cost": {"tools": {text: 1.0}}}},
    "cache": lambda text: {"bridge": {"cwd": text}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", ["a\nLITELLM_MASTER_KEY=x", "a\rb", "a\x00b", "a\x1b[31mb", "a\x85b", "a\u2028b", "a\u202eb", "a\tb"])
def test_what_begins_a_line_or_turns_one_is_refused_in_every_field(place, text):
    assert refused(**PLACES[place](text))


def test_it_is_told_by_file_line_and_field(tmp_path):
    (tmp_path / "it").mkdir()
    (tmp_path / "it/stanza.yaml").write_text('pypi: a==1\ncommand: a\nenv:\n  A: "b\\nc"\n')

    with pytest.raises(StanzaError, match=r"it/stanza.yaml:4: env.A: a line break in 'b"):
        Fleet.load(tmp_path)


def test_arguments_of_a_smoke_call_may_have_lines():
    """They are JSON wherever they are written."""
    text = dockerfile.dockerfile(
        Fleet(stanzas=[]), Stanza.model_validate(GOOD | {"smoke": {"tool": "t", "arguments": {"code": "a\nb"}}})
    ).text

    assert r"a\\nb" in text


def test_litellm_looks_nothing_up_for_a_stanza():
    key = "os.environ/LITELLM_MASTER_KEY"
    assert "LiteLLM would put" in refused(description=key)
    assert "LiteLLM would put" in refused(litellm={"access_groups": [key]})
    for said in ({"tools": {"allow": [key]}}, {"tools": {"rename": {"x": key}}}, {"litellm": {"cost": {"tools": {key: 1}}}}):
        assert "LiteLLM would put" in refused(**said)
    assert bounds.one_line(f" {key}\n") == f"'{key}'"


HOSTILE = [
    "${LITELLM_MASTER_KEY}",
    "$LITELLM_MASTER_KEY",
    "$$",
    "$(LITELLM_MASTER_KEY)",
    "$$(X)",
    "{{ $labels.mcp }}",
    "{{name}}",
    "{{base}}",
    "`id`",
    "$(id)",
    "'; id #",
    '"',
    "\\",
    "<<EOF",
    "# x",
    "a,b",
    "a=b",
    " ",
    "os.environ/X",
    "%(x)s",
    "&a",
    "*a",
    "!!python/object:x",
    "${A:-${B}}",
    "{arch}",
    "\\u0024",
    "---",
    "on",
    "~",
    "a: b",
    "]",
    "|",
    "🦊",
]
TEXT = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=("C", "Z")), max_size=4), min_size=1, max_size=4).map(
    "".join
)
FREE = TEXT.filter(lambda text: text and not text.startswith("os.environ/") and not re.search(r"\$\{[A-Za-z_]\w*(:-[^}$]*)?\}", text))


@settings(deadline=None, max_examples=50, phases=[Phase.explicit, Phase.generate])
@given(FREE, FREE, FREE, FREE.filter(str.strip), FREE.filter(str.strip))
def test_hostile_text_is_exactly_that_text_in_every_file_and_changes_nothing_else(about, word, value, tool, expect):
    """As Compose, Kubernetes, Docker and LiteLLM read it, beside what harmless text makes of the same fields."""

    def made(about: str, word: str, value: str, tool: str, expect: str) -> Fleet:
        return Fleet(
            stanzas=[
                Stanza.model_validate(
                    GOOD
                    | {
                        "description": about,
                        "command": ["a", word],
                        "env": {"A": value, "B": "${SAID:-so}"},
                        "secrets": {"S": {"description": about, "optional": True}},
                        "tools": {"allow": [tool, "x"]},
                        "smoke": {"tool": tool, "arguments": {value: [word]}, "expect": expect},
                        "litellm": {"access_groups": [about]},
                    }
                )
            ]
        )

    hostile, harmless = made(about, word, value, tool, expect), made("about", "word", "value", "tool", "expect")
    words = {"about": about, "word": word, "value": value, "tool": tool, "expect": expect}

    # Compose
    service = read_by_compose(hostile)
    assert service["environment"]["A"] == value and service["environment"]["B"] == "so"
    assert allowed(service["environment"]) == tuple(part.strip() for part in (tool, "x"))
    assert settled(service) == settled(read_by_compose(harmless))
    # Kubernetes
    container, other = (
        kubernetes.sidecar(fleet, fleet["it"])[0]["spec"]["template"]["spec"]["containers"][0] for fleet in (hostile, harmless)
    )
    environment = {one["name"]: by_kubernetes(one["value"]) for one in container["env"] if "value" in one}
    assert environment["A"] == value and allowed(environment) == tuple(part.strip() for part in (tool, "x"))
    assert [one["name"] for one in container["env"]] == [one["name"] for one in other["env"]]
    # Docker: line by line the same instructions; words in exec form are exactly the words
    lines, others = (dockerfile.dockerfile(fleet, fleet["it"]).text.splitlines() for fleet in (hostile, harmless))
    assert len(lines) == len(others)
    for line, expected in zip(lines, others, strict=True):
        if line != expected:
            assert line.startswith(("RUN --mount=type=tmpfs", "CMD [")) and "<<" not in line
            said, meant = (json.loads(text[text.index("[") :]) for text in (line, expected))
            assert said == [
                {"value": value, "A=value": f"A={value}", json.dumps({"value": ["word"]}): json.dumps({value: [word]})}.get(
                    one, words.get(one, one)
                )
                for one in meant
            ]
    # LiteLLM, which replaces what begins with os.environ/
    entry = yaml.safe_load(next(file.text for file in litellm.render(hostile) if file.path == "litellm/config-all.yaml"))["mcp_servers"][
        "it"
    ]
    assert (entry["description"], entry["access_groups"]) == (about, [about])
    assert compose.named_in({"it": {key: text for key, text in entry.items() if key != "auth_value"}}) == []
    # what people copy
    example = next(file.text for file in hostile.render() if file.path == "compose/.env.example")
    assert all(not line or line.startswith("#") for line in example.splitlines())


def read_by_compose(fleet: Fleet) -> dict:
    """What Compose makes of the file, with none of the variables set."""

    def read(value):
        if isinstance(value, dict):
            return {key: read(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [read(inner) for inner in value]
        if not isinstance(value, str):
            return value
        assert not re.search(r"\$(?!\$|\{[A-Za-z_]\w*:[-+][^}$]*\})", value.replace("$$", "")), value
        return re.sub(r"\$\$|\$\{\w+:-([^}]*)\}", lambda found: "$" if found[0] == "$$" else found[1], value)

    text = next(file.text for file in fleet.render() if file.path == "compose/it.yaml")
    return read(yaml.safe_load(text)["services"]["it"])


def settled(service: dict) -> dict:
    return {key: value if key != "environment" else sorted(value) for key, value in service.items()}


def by_kubernetes(text: str) -> str:
    """expansion.Expand of Kubernetes: $$ is a dollar, $(NAME) a reference (none is expected here)."""
    read, at = "", 0
    while at < len(text):
        if text[at] == "$" and at + 1 < len(text):
            assert text[at + 1] != "(" or ")" not in text[at:], text
            read += "$" if text[at + 1] == "$" else text[at : at + 2]
            at += 2
        else:
            read, at = read + text[at], at + 1
    return read


def allowed(environment: dict) -> tuple:
    return options.read(SimpleNamespace(), {"MCP_BRIDGE_TOOL_ALLOW": environment["MCP_BRIDGE_TOOL_ALLOW"]}).tool_allow
