"""Callers with keys of their own at the bridge, through the real LiteLLM: each way that its versions have to pass a key on, and callers' own
credentials for a stdio server, as docs/callers.md says of its versions.

Who called is what the audit says, not what LiteLLM believes.
"""

import hashlib
import json
from pathlib import Path

import pytest
from environments import litellm_1773, litellm_newest
from environments.litellm import LiteLLM
from gateways import words
from support import Bridge, eventually, zoo

TOKENS = {name: f"{name}-0123456789-0123456789" for name in ("litellm", "alice", "bob", "hasty")}
MAY = {
    "litellm": {"zoo/*": "read", "zoo/add": "execute"},  # it calls no tool that its own key does not see
    "alice": {"zoo/echo": "execute", "zoo/add": "read"},
    "bob": {"zoo/*": "execute", "zoo/echo": "deny"},
    "hasty": {"zoo/*": "execute"},
}
CALLS = {"echo": {"message": "hi"}, "add": {"a": 1, "b": 2}, "unicode": {}}
PYTHONS = {"1.77.3": litellm_1773, "newest": litellm_newest}
PATHS = {"http": "/mcp", "sse": "/sse"}
SPELLINGS = ("{}", "Bearer {}", "Bearer Bearer {}")


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("through")
    callers = {name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "may": MAY[name]} for name, token in TOKENS.items()}
    callers["hasty"]["limits"] = {"requests": 0.001, "burst": 12}
    (folder / "callers.json").write_text(json.dumps({"callers": callers}))
    options = ("--callers", folder / "callers.json", "--audit", folder / "audit", "--name", "zoo", "--profile", "litellm")
    with Bridge(zoo("echo"), *options) as bridge:
        bridge.audit = folder / "audit"
        yield bridge


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """A bridge with a folder of callers' own values."""
    folder = tmp_path_factory.mktemp("values")
    (folder / "tokens").write_text(f"gateway {TOKENS['litellm']}\nalice {TOKENS['alice']}\n")
    (folder / "values").mkdir()
    (folder / "values" / "alice").write_text("alices-own\n")
    sources = ["--caller-secret", "API_KEY=header:X-Api-Value", "--caller-secret", f"API_KEY={folder / 'values'}"]
    key = {"authorization": f"Bearer {TOKENS['litellm']}"}
    with Bridge(zoo("echo"), "--profile", "litellm", *sources, "--token-file", folder / "tokens", headers=key) as bridge:
        yield bridge


@pytest.fixture(scope="module", params=PYTHONS)
def proxy(request, bridge, keeper):
    """It has its own key for one way in of each transport, and hands its callers' keys on."""
    kinds = {"zoo": {"auth_type": "bearer_token", "authentication_token": TOKENS["litellm"]}}
    if request.param == "newest":
        kinds["extra"] = {"auth_type": "api_key", "authentication_token": TOKENS["litellm"], "extra_headers": ["x-api-key"]}
    servers = {
        f"{kind}{transport}": {"url": bridge.url + path, "transport": transport, **settings}
        for kind, settings in kinds.items()
        for transport, path in PATHS.items()
    }
    own = {"auth_type": "bearer_token", "authentication_token": TOKENS["litellm"]}
    if request.param == "newest":
        # With auth_type bearer_token it refuses a call whose caller sends another header than Authorization for the server.
        own = {"auth_type": "none", "static_headers": {"X-API-Key": TOKENS["litellm"]}, "extra_headers": ["x-api-value"]}
    servers["keeper"] = {"url": f"{keeper.url}/mcp", "transport": "http", **own}  # as the fleet writes it
    with LiteLLM(PYTHONS[request.param](), {"mcp_servers": servers}) as proxy:
        proxy.version = request.param
        yield proxy


def lines(audit: Path) -> list[dict]:
    return [json.loads(line) for line in audit.read_text().splitlines()]


def outcome(proxy: LiteLLM, bridge: Bridge, server: str, tool: str, **headers: str) -> tuple[str, str]:
    """Who called at the bridge, and what came of it; what LiteLLM's client reads fits that."""
    before = len(lines(bridge.audit))
    proxy.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    status, result = proxy.call(f"{server}-{tool}", CALLS[tool], 30)

    def call() -> dict | None:
        return next((line for line in lines(bridge.audit)[before:] if line.get("tool") == tool), None)

    line = eventually(call, 10, f"no call of {tool}: {status} {result}\n{lines(bridge.audit)[before:]}")
    assert status == 200 and "content" in result, (status, result)
    if proxy.version == "newest":  # 1.77.3 loses the flag
        assert bool(result.get("isError")) == (line["outcome"] != "ok"), (result, line)
    if line["outcome"] == "denied":
        assert "Unknown tool" in words(result) or "calls need execute" in words(result)
    return line["caller"], line["outcome"]


def expected(caller: str, tool: str) -> tuple[str, str]:
    levels = MAY[caller]
    level = levels.get(f"zoo/{tool}") or levels.get("zoo/*", "deny")
    return caller, "ok" if level == "execute" else "denied"


@pytest.mark.parametrize("transport", PATHS)
def test_each_caller_is_itself_by_its_own_key_however_it_is_spelled(proxy, bridge, transport):
    server = f"zoo{transport}"
    header = f"x_mcp_{server}_authorization"
    for caller in ("alice", "bob"):
        for tool in CALLS:
            assert outcome(proxy, bridge, server, tool, **{header: TOKENS[caller]}) == expected(caller, tool)
        for spelling in SPELLINGS:
            found = outcome(proxy, bridge, server, "echo", **{header: spelling.format(TOKENS[caller])})
            assert found == expected(caller, "echo"), spelling


@pytest.mark.parametrize("transport", PATHS)
def test_without_a_key_of_its_own_it_is_the_caller_litellm(proxy, bridge, transport):
    for tool in CALLS:
        assert outcome(proxy, bridge, f"zoo{transport}", tool) == expected("litellm", tool)


@pytest.mark.parametrize("proxy", ["newest"], indirect=True)  # 1.77.3 knows no extra_headers
@pytest.mark.parametrize("transport", PATHS)
def test_the_newest_passes_a_header_that_its_operator_names(proxy, bridge, transport):
    for caller in ("alice", "bob"):
        for tool in CALLS:
            assert outcome(proxy, bridge, f"extra{transport}", tool, x_api_key=TOKENS[caller]) == expected(caller, tool)
    assert outcome(proxy, bridge, f"extra{transport}", "add") == expected("litellm", "add")


def survived(proxy: LiteLLM) -> tuple[str, ...]:
    """The transports by which a version survives that it is refused: an HTTP error in a call by http ends the whole gateway of 1.77.3,
    whoever answers it (docs/callers.md)."""
    return ("sse",) if proxy.version == "1.77.3" else tuple(PATHS)


def test_a_key_that_is_wrong_is_nobodys_and_the_gateway_goes_on(proxy, bridge):
    for transport in survived(proxy):
        server = f"zoo{transport}"
        proxy.headers = {f"x-mcp-{server}-authorization": "wrong-0123456789-0123456789"}
        _, result = proxy.call(f"{server}-add", CALLS["add"], 30)

        assert "3.0" not in str(result), result
        assert proxy.alive()
        assert outcome(proxy, bridge, server, "add") == ("litellm", "ok")


def test_who_asks_too_often_is_told_so_and_the_gateway_goes_on(proxy, bridge):
    for transport in PATHS:
        server = f"zoo{transport}"
        proxy.headers = {f"x-mcp-{server}-authorization": TOKENS["hasty"]}
        said = ""
        for _ in range(15):
            _, result = proxy.call(f"{server}-add", CALLS["add"], 30)
            said = words(result)
            if "you may ask" in said:
                break

        assert "you may ask 0.001 times a second here" in said, [line for line in lines(bridge.audit) if line.get("caller") == "hasty"]
        assert proxy.version == "1.77.3" or result["isError"]  # 1.77.3 loses the flag
        assert proxy.alive()
        assert outcome(proxy, bridge, server, "add") == ("litellm", "ok")


def said(proxy: LiteLLM, **headers: str) -> str:
    """What a call says with these headers: the value that its child has, or the bridge's words."""
    proxy.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    status, result = proxy.call("keeper-env", {}, 30)
    assert status == 200 and "content" in result, (status, result)
    told = words(result)
    return str(json.loads(told).get("API_KEY")) if told.startswith("{") else told


def test_a_callers_key_is_passed_on_and_the_folder_has_its_value(proxy):
    for given in (TOKENS["alice"], f"Bearer {TOKENS['alice']}"):
        assert said(proxy, x_mcp_keeper_authorization=given) == "alices-own"
        assert "API_KEY: send it in the header x-api-value" in said(proxy)
    assert proxy.alive()


@pytest.mark.parametrize("proxy", ["newest"], indirect=True)
def test_the_newest_passes_any_header_to_the_server_it_is_for(proxy):
    assert said(proxy, x_mcp_keeper_x_api_value="sent-1") == "sent-1"
    assert said(proxy, x_api_value="sent-2") == "sent-2"
    assert said(proxy, x_mcp_keeper_authorization=f"Bearer {TOKENS['alice']}", x_api_value="sent-3") == "sent-3"
