"""Callers' own credentials for a stdio server, through the real LiteLLM: what docs/callers.md says of its versions."""

import json

import pytest
from environments import litellm_1773, litellm_newest
from environments.litellm import LiteLLM
from support import Bridge, zoo

GATEWAY, ALICE = "gateway-0123456789", "alice-0123456789ab"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("callers")
    (folder / "tokens").write_text(f"gateway {GATEWAY}\nalice {ALICE}\n")
    (folder / "values").mkdir()
    (folder / "values" / "alice").write_text("alices-own\n")
    sources = ["--caller-secret", "API_KEY=header:X-Api-Value", "--caller-secret", f"API_KEY={folder / 'values'}"]
    with Bridge(
        zoo("echo"), "--profile", "litellm", *sources, "--token-file", folder / "tokens", headers={"authorization": f"Bearer {GATEWAY}"}
    ) as bridge:
        yield bridge


def proxied(python, bridge: Bridge, **more) -> LiteLLM:
    mcp = {"url": f"{bridge.url}/mcp", "transport": "http", "auth_type": "bearer_token", **more}
    return LiteLLM(python, {"mcp_servers": {"zoo": mcp}})


def said(proxy: LiteLLM, **headers: str) -> str:
    """What a call says with these headers: the value that its child has, or the bridge's words."""
    proxy.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    status, result = proxy.call("zoo-env", {}, 30)
    assert status == 200 and "content" in result, (status, result)
    words = "".join(block["text"] for block in result["content"])
    return str(json.loads(words).get("API_KEY")) if words.startswith("{") else words


def test_litellm_1_77_3_passes_a_callers_key_and_the_folder_has_its_value(bridge):
    with proxied(litellm_1773(), bridge, authentication_token=GATEWAY) as proxy:
        for given in (ALICE, f"Bearer {ALICE}"):
            assert said(proxy, x_mcp_zoo_authorization=given) == "alices-own"
            assert "API_KEY: send it in the header x-api-value" in said(proxy)
        assert proxy.alive()


def test_the_newest_litellm_passes_any_header_to_the_server_it_is_for(bridge):
    # With auth_type bearer_token it refuses a call whose caller sends another header than Authorization for the server.
    headers = {"X-API-Key": GATEWAY}  # as the fleet writes it
    with proxied(litellm_newest(), bridge, auth_type="none", static_headers=headers, extra_headers=["x-api-value"]) as proxy:
        assert said(proxy, x_mcp_zoo_x_api_value="sent-1") == "sent-1"
        assert said(proxy, x_api_value="sent-2") == "sent-2"
        assert said(proxy, x_mcp_zoo_authorization=ALICE) == "alices-own"  # a caller's key instead of the gateway's
        assert said(proxy, x_mcp_zoo_authorization=f"Bearer {ALICE}", x_api_value="sent-3") == "sent-3"
        assert "API_KEY: send it in the header x-api-value" in said(proxy)
