"""MCPs as their publishers describe them: server.json of each schema date, and a registry that says the truth, lies or hangs."""

import json
import threading
from argparse import ArgumentParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bridge.fleet.adding import add
from bridge.fleet.adding.registry import client, document
from bridge.fleet.commands import add as commands_add
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

NAME = "io.github.owner/weather-mcp"
OFFICIAL = "io.modelcontextprotocol.registry/official"
NPM = {"registryType": "npm", "identifier": "@owner/weather-mcp", "version": "1.2.3", "transport": {"type": "stdio"}}
PYPI = {"registryType": "pypi", "identifier": "weather-mcp", "version": "1.2.3", "runtimeHint": "uvx"}
OCI = {"registryType": "oci", "identifier": "ghcr.example/owner/weather:1.2.3", "runtimeHint": "docker"}
BUNDLE = {"registryType": "mcpb", "identifier": "https://example.com/weather.mcpb", "fileSha256": "0" * 64}


def server(*packages: dict, **more) -> dict:
    return {"name": NAME, "description": "Weather.", "version": "1.2.3"} | ({"packages": list(packages)} if packages else {}) | more


def drafted(*packages: dict, **more):
    return document.entry(server(*packages, **more))


def env(name: str, **said) -> dict:
    return {"name": name, **said}


# --- packages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "source"),
    [
        (NPM, {"npm": "@owner/weather-mcp@1.2.3"}),
        (PYPI, {"pypi": "weather-mcp==1.2.3"}),
        (OCI, {"image": "ghcr.example/owner/weather:1.2.3"}),
        ({**OCI, "identifier": "ghcr.example/owner/weather", "version": "1.2.3"}, {"image": "ghcr.example/owner/weather:1.2.3"}),
        ({**OCI, "identifier": f"ghcr.example/o/w@sha256:{'0' * 64}"}, {"image": f"ghcr.example/o/w@sha256:{'0' * 64}"}),
        # 2025-07-09, and what was before
        ({"registry_type": "npm", "identifier": "weather", "version": "1.0.0", "runtime_hint": "npx"}, {"npm": "weather@1.0.0"}),
        ({"registry_name": "pypi", "name": "weather", "version": "1.0"}, {"pypi": "weather==1.0"}),
        ({"registry_name": "docker", "name": "owner/weather", "version": "1.0"}, {"image": "owner/weather:1.0"}),
    ],
)
def test_a_package_of_each_date_becomes_a_source(package, source):
    draft = drafted(package).draft

    assert (draft.name, draft.description, draft.source) == ("weather-mcp", "Weather.", source)


@pytest.mark.parametrize("spelled", ["new", "old"])
def test_what_it_wants_to_be_told_becomes_variables_secrets_and_volumes(spelled):
    package = NPM | {
        "environmentVariables": [
            env("API_KEY", isSecret=True, isRequired=True, description="The key."),
            env("OTHER_KEY", isSecret=True),
            env("UNITS", default="metric", choices=["metric", "imperial"]),
            env("CITY", isRequired=True),
            env("PROXY", description="If you have one."),
            env("CACHE", format="filepath", isRequired=True),
            env("FIXED", value="{mode}-x", variables={"mode": {"default": "fast"}}),
        ],
        "packageArguments": [
            {"type": "positional", "valueHint": "serve", "value": "serve"},
            {"type": "named", "name": "--port", "default": "80"},
            {"type": "named", "name": "--level", "valueHint": "level"},
            {"type": "named", "name": "--quiet", "isRequired": True},
            {"type": "named", "name": "--on", "format": "boolean", "default": True},
            {"type": "positional", "valueHint": "target_dir", "format": "filepath", "isRequired": True},
            {"type": "positional", "valueHint": "place", "isRequired": True},
        ],
        "runtimeArguments": [{"type": "positional", "value": "-y"}],
    }
    if spelled == "old":
        text = json.dumps(package)
        for new, old in {
            "environmentVariables": "environment_variables",
            "packageArguments": "package_arguments",
            "isSecret": "is_secret",
            "isRequired": "is_required",
            "valueHint": "value_hint",
            "runtimeArguments": "runtime_arguments",
            "registryType": "registry_type",
        }.items():
            text = text.replace(new, old)
        package = json.loads(text)

    entry = drafted(package)
    draft = entry.draft

    assert draft.secrets == ("API_KEY", "OTHER_KEY")
    assert draft.optional == ("OTHER_KEY",)
    assert draft.env == {"UNITS": "metric", "CITY": "${CITY}", "CACHE": "/data/cache", "FIXED": "fast-x"}
    assert draft.command == ("", "serve", "--port", "80", "--quiet", "--on", "/data/target-dir", "${WEATHER_MCP_PLACE}")
    assert draft.volumes == ("${WEATHER_MCP_TARGET_DIR}:/data/target-dir", "${WEATHER_MCP_CACHE}:/data/cache")
    said = "\n".join(entry.notes)
    assert "UNITS is one of metric, imperial" in said and "it also reads PROXY: If you have one." in said and "--level" in said
    Stanza.model_validate(draft.fields | {"command": ["weather", *draft.command[1:]]})


def test_an_image_may_want_variables_and_folders_that_the_operator_names():
    arguments = [
        {"type": "named", "name": "--mount", "value": "type=bind,src={source_path},dst={target_path}",
         "variables": {"source_path": {"format": "filepath", "isRequired": True}, "target_path": {"default": "/project"}}},
        {"type": "named", "name": "-e", "value": "LOG_LEVEL=debug"},
        {"type": "positional", "value": "--rm"},
    ]  # fmt: skip
    draft = drafted({**OCI, "runtimeArguments": arguments}).draft

    assert draft.volumes == ("${WEATHER_MCP_SOURCE_PATH}:/project",)
    assert draft.env == {"LOG_LEVEL": "debug"}
    assert draft.command == ()


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ({**BUNDLE, "fileSha256": None}, "its fileSha256 is not there"),
        ({**BUNDLE, "fileSha256": "abc"}, "its fileSha256 is not there"),
        ({**BUNDLE, "identifier": "http://example.com/weather.mcpb"}, "fetched from https://"),
        ({**BUNDLE, "identifier": "file:///etc/passwd"}, "fetched from https://"),
        ({"registryType": "nuget", "identifier": "Weather", "version": "1.0.0"}, ".NET is not among"),
        ({"registryType": "cargo", "identifier": "weather", "version": "1.0.0"}, "would have to be compiled"),
        ({"registryType": "brew", "identifier": "weather", "version": "1.0.0"}, "brew registry type is not known"),
        ({**NPM, "version": "latest"}, "'latest' is not an exact one"),
        ({**NPM, "version": "^1.2.0"}, "is not an exact one"),
        ({**NPM, "version": None}, "is not an exact one"),
        ({**OCI, "identifier": "ghcr.example/owner/weather"}, "neither a tag nor a digest"),
        ({**NPM, "transport": {"type": "streamable-http", "url": "http://localhost:1/mcp"}}, "reached by streamable-http"),
        ({**NPM, "runtimeHint": "dnx"}, "to be run by dnx"),
        ({**OCI, "runtimeArguments": [{"type": "named", "name": "--network", "value": "host"}]}, "'--network host'"),
        ({**OCI, "runtimeArguments": [{"type": "positional", "value": "--privileged"}]}, "'--privileged'"),
        ({**OCI, "runtimeArguments": [{"type": "named", "name": "--mount", "value": "type=bind,src=/,dst=/host"}]}, "who names a place of this machine is you"),
        ({**OCI, "runtimeArguments": [{"type": "named", "name": "-v", "value": "/var/run/docker.sock:/var/run/docker.sock"}]}, "is you"),
        ({**NPM, "runtimeArguments": [{"type": "named", "name": "--registry", "value": "http://evil.example"}]}, "of what starts it"),
        ({**PYPI, "runtimeArguments": [{"type": "named", "name": "--from", "value": "other"}]}, "of what starts it"),
        ({**NPM, "environmentVariables": [env("STOLEN", value="${BRIDGE_TOKEN}")]}, "read as something else"),
        ({**NPM, "environmentVariables": [env("STOLEN", default="${OTHER_KEY}")]}, "read as something else"),
        ({**NPM, "packageArguments": [{"type": "positional", "value": "${OTHER_KEY}"}]}, "read as something else"),
        ({**NPM, "packageArguments": [{"type": "named", "name": "--a b"}]}, "is no option"),
        ({**NPM, "environmentVariables": [env("A B")]}, "is not the name of a variable"),
        ({**NPM, "environmentVariables": ["A"]}, "is not as its schema has it"),
        ({**NPM, "packageArguments": 7}, "is not as its schema has it"),
        ({**OCI, "runtimeArguments": [None]}, "is not as its schema has it"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_safely_is_refused_with_the_reason(package, why):
    with pytest.raises(UsageError) as refused:
        drafted(package)

    assert why in str(refused.value) and str(refused.value).startswith(f"{NAME}: ")


def test_the_next_package_is_taken_and_the_reason_told():
    entry = drafted({**PYPI, "version": "latest"}, NPM)

    assert entry.draft.source == {"npm": "@owner/weather-mcp@1.2.3"}
    assert entry.notes[0].startswith("not taken: package weather-mcp: its version 'latest' is not an exact one")


def test_a_bundle_is_taken_only_where_there_is_no_package():
    assert drafted(BUNDLE, PYPI).draft.source == {"pypi": "weather-mcp==1.2.3"}
    assert drafted(BUNDLE).draft.source == {"mcpb": {"url": BUNDLE["identifier"], "sha256": BUNDLE["fileSha256"]}}


# --- remotes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ({"type": "streamable-http", "url": "https://a.example/mcp"}, {"transport": "http"}),
        ({"transport_type": "sse", "url": "https://a.example/mcp"}, {"transport": "sse"}),
        ({"type": "sse", "url": "https://a.example/mcp", "headers": [{"name": "Authorization", "value": "Bearer {api_key}", "variables": {"api_key": {"isSecret": True}}}]},
         {"transport": "sse", "auth": {"type": "bearer_token", "value_env": "WEATHER_MCP_API_KEY"}}),
        ({"type": "streamable-http", "url": "https://a.example/mcp", "headers": [{"name": "Authorization", "isSecret": True, "isRequired": True}]},
         {"transport": "http", "auth": {"type": "authorization", "value_env": "WEATHER_MCP_AUTHORIZATION"}}),
        ({"type": "streamable-http", "url": "https://a.example/mcp", "headers": [{"name": "X-Key", "isSecret": True, "isRequired": True}, {"name": "X-Region", "value": "eu"}]},
         {"transport": "http", "static_headers": {"X-Key": "os.environ/WEATHER_MCP_X_KEY", "X-Region": "eu"}}),
        ({"type": "streamable-http", "url": "https://a.example/{tenant}", "variables": {"tenant": {"default": "mcp"}}}, {"transport": "http"}),
    ],
)  # fmt: skip
def test_a_remote_becomes_a_url_with_its_headers(remote, expected):
    draft = drafted(remotes=[remote]).draft

    assert draft.source == {"url": "https://a.example/mcp"}
    assert {name: getattr(draft, name) for name in expected} == expected
    Stanza.model_validate(draft.fields)


@pytest.mark.parametrize(
    ("remote", "why"),
    [
        ({"type": "streamable-http", "url": "https://{host}/mcp", "variables": {"host": {"isRequired": True}}}, "parts that only you know"),
        ({"type": "streamable-http", "url": "file:///etc/passwd"}, "is not http://HOST"),
        ({"type": "grpc", "url": "https://a.example"}, "'grpc' is not known"),
        ({"type": "sse", "url": "https://a.example", "headers": [{"name": "A: b"}]}, "is not the name of a header"),
    ],
)
def test_a_remote_that_is_not_understood_is_refused(remote, why):
    with pytest.raises(UsageError, match=NAME) as refused:
        drafted(remotes=[remote])

    assert why in str(refused.value)


# --- a registry ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry():
    """``registry[path] = (status, body)``; a callable body writes by itself. ``registry.url`` is its base."""

    class Registry(dict):
        url = ""

    answers = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path, (404, b'{"title":"Not Found"}'))
            if callable(body):
                return body(self)
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if status == 302:
                self.send_header("location", f"{answers.url}/v0.1/servers/else")
            self.end_headers()
            self.wfile.write(body)
            return None

        def log_message(self, *_):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    answers.url = f"http://127.0.0.1:{listener.server_address[1]}"
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield answers
    listener.shutdown()
    listener.server_close()


def path(version: str = "latest") -> str:
    return f"/v0.1/servers/io.github.owner%2Fweather-mcp/versions/{version}"


def answer(status: str = "active", **more) -> dict:
    return {"server": server(NPM, **more), "_meta": {OFFICIAL: {"status": status}}}


def test_the_newest_or_one_version_is_asked_for_by_its_exact_name(registry):
    registry[path()] = 200, answer()
    registry[path("1.2.3")] = 200, answer()

    for reference in (NAME, f"{NAME}@1.2.3"):
        assert document.entry(client.described(reference, registry.url)).draft.source == {"npm": "@owner/weather-mcp@1.2.3"}
    with pytest.raises(UsageError, match="has no server of exactly this name and version"):
        client.described(f"{NAME}@9.9.9", registry.url)
    with pytest.raises(UsageError, match="has no server of exactly this name$"):
        client.described("io.github.owner/weather", registry.url)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((200, answer(name="io.github.evil/weather-mcp")), "answered with another one: io.github.evil/weather-mcp"),
        ((200, answer(version="6.6.6")), "answered with another one"),
        ((200, b"<html>Please log in</html>"), "answered 200 and no server: <html>Please log in"),
        ((200, {"servers": [server(NPM)]}), "and no server"),
        ((302, b""), "answered 302"),
        ((500, b"oops"), "answered 500 and no server: oops"),
        ((200, b"[" * 100_000), "and no server"),
        ((200, b" " * (2 << 20)), "is longer than"),
        ((200, lambda handler: handler.connection.close()), "cannot be asked"),
    ],
)
def test_a_registry_that_lies_is_not_believed(registry, said, why):
    registry[path("1.2.3")] = said

    with pytest.raises(UsageError) as refused:
        client.described(f"{NAME}@1.2.3", registry.url)

    assert why in str(refused.value)


def test_a_registry_that_hangs_is_left(registry, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.4)
    held = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        while not held.wait(0.05):
            handler.wfile.write(b" ")

    registry[path()] = 200, drip
    with pytest.raises(UsageError, match="does not end within"):
        client.described(NAME, registry.url)
    registry[path()] = 200, lambda handler: held.wait(5)
    with pytest.raises(UsageError, match="cannot be asked"):
        client.described(NAME, registry.url)
    held.set()


def test_a_registry_is_asked_in_clear_on_this_machine_only():
    with pytest.raises(UsageError, match="must begin with https://"):
        client.described(NAME, "http://registry.example")


def test_what_is_deprecated_is_told_and_what_was_deleted_refused():
    assert "the registry says that it is deprecated" in document.entry(answer("deprecated")).notes
    with pytest.raises(UsageError, match="was deleted"):
        document.entry(answer("deleted"))


# --- add -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def types(tmp_path, monkeypatch):
    """``types("--from", file)`` -> what `mcp-bridge add` would write, with nothing asked of registries of packages."""
    (tmp_path / "images/weather-mcp").mkdir(parents=True)
    (tmp_path / "images/weather-mcp/stanza.yaml").write_text("command: x\n")
    drafts = []
    monkeypatch.setattr(
        add.Adding, "_finish", lambda project, entry, *_: drafts.append(entry.draft) or add.Added(entry.draft.name, tmp_path / "x")
    )

    def run(*words: str):
        parser = ArgumentParser()
        parser.add_argument("--project", default=tmp_path)
        commands_add.declare(parser)
        assert commands_add.run(parser.parse_args([*map(str, words), "--no-trial"]), []) == 0
        return drafts[-1]

    return run


def test_add_takes_a_file_or_a_name_and_calls_it_as_it_is_told(types, registry, tmp_path):
    file = tmp_path / "server.json"
    file.write_text(json.dumps(server(PYPI)))
    registry[path("1.2.3")] = 200, answer()

    assert types("--from", file, "--as", "rain").name == "rain"
    assert types(f"{NAME}@1.2.3", "--registry", registry.url, "--as", "sun").source == {"npm": "@owner/weather-mcp@1.2.3"}
    with pytest.raises(UsageError, match="is there already"):
        types("--from", file)
    with pytest.raises(UsageError, match="cannot be the name"):
        types("--from", file, "--as", "Rain")
    with pytest.raises(UsageError, match="says it all"):
        types(NAME, "--npm", "other")
