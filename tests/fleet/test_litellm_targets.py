"""litellm/config.yaml for each version of LiteLLM: what it understands, and what is told instead."""

import re

import pytest
import yaml
from kinds import FLEET, NODE, PYTHON, REMOTE, SECRETIVE, of

from bridge.fleet.engines.litellm import requirements
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import litellm

VERSIONS = ("1.77.3", "1.77.7", "1.79.3", "1.80.17", "1.106.2")


def entry(version: str, stanza) -> dict:
    return litellm.config(of(version, stanza))["mcp_servers"][stanza.litellm_name]


def test_1_77_gets_sse_because_a_missing_sidecar_would_wedge_its_http_client():
    assert entry("1.77.3", PYTHON) == {
        "url": "http://clock:8000/sse",
        "transport": "sse",
        "auth_type": "bearer_token",
        "auth_value": "os.environ/BRIDGE_TOKEN",
        "description": "What time it is",
        "access_groups": ["everyone"],
    }


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("1.79.3", {"url": "http://clock:8000/sse", "transport": "sse"}),
        ("1.80.0", {"url": "http://clock:8000/mcp", "transport": "http"}),
        ("1.80.17", {"url": "http://clock:8000/mcp", "transport": "http", "allow_all_keys": True}),
        ("1.106.2", {"url": "http://clock:8000/mcp", "transport": "http", "allow_all_keys": True}),
    ],
)
def test_newer_versions_get_streamable_http(version, more):
    assert entry(version, PYTHON) == entry("1.77.3", PYTHON) | more


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("1.77.3", {}),
        ("1.77.7", {"allowed_tools": ["a"], "disallowed_tools": ["b"], "extra_headers": ["X-User"]}),
        (
            "1.79.3",
            {
                "allowed_tools": ["a"],
                "disallowed_tools": ["b"],
                "extra_headers": ["X-User"],
                "static_headers": {"X-Team": "os.environ/TEAM"},
            },
        ),
        (
            "1.106.2",
            {
                "allowed_tools": ["a"],
                "disallowed_tools": ["b"],
                "extra_headers": ["X-User"],
                "static_headers": {"X-Team": "os.environ/TEAM"},
                "allow_all_keys": True,
            },
        ),
    ],
)
def test_a_remote_mcp_is_what_the_version_can_make_of_it(version, more):
    assert (
        entry(version, REMOTE)
        == {
            "url": "https://far.example/mcp",
            "transport": "http",
            "auth_type": "api_key",
            "auth_value": "os.environ/FAR_KEY",
            "description": "Elsewhere",
        }
        | more
    )


def test_what_a_version_cannot_do_is_told():
    told = litellm.warnings(of("1.77.3", REMOTE, NODE))

    assert [re.search(r"'(\w+)' \(([\d.]+) is the first\)", line).groups() for line in told] == [
        ("allowed_tools", "1.77.7"),
        ("disallowed_tools", "1.77.7"),
        ("extra_headers", "1.77.7"),
        ("static_headers", "1.79.3"),
        ("timeout", "1.90.7"),
    ]
    assert litellm.warnings(of("1.106.2", REMOTE, NODE)) == []


def test_warnings_stand_in_the_file():
    text = next(file.text for file in litellm.render(of("1.77.3", REMOTE)))

    assert "# Warning: far-away: LiteLLM 1.77.3 does not know 'allowed_tools'" in text


@pytest.mark.parametrize(("field", "pattern"), [("allow", "get_*"), ("deny", "conv*")])
def test_a_pattern_for_a_remote_mcp_is_refused_because_litellm_knows_whole_names_only(field, pattern):
    with pytest.raises(ValueError, match=rf"tools: '{re.escape(pattern)}'.*write them out"):
        Stanza.model_validate(REMOTE.model_dump(by_alias=True, exclude_unset=True) | {"tools": {field: ["now", pattern]}})


def test_tools_of_a_sidecar_are_the_bridges_business_in_every_version():
    for version in VERSIONS:
        assert "allowed_tools" not in entry(version, NODE)


def test_a_call_costs_under_the_name_that_clients_see():
    assert entry("1.77.3", NODE)["mcp_info"]["mcp_server_cost_info"] == {
        "default_cost_per_query": 0.1,
        "tool_name_to_cost_per_query": {"look": 0.5},
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_names_are_those_that_litellm_starts_with(version):
    names = litellm.config(of(version))["mcp_servers"]

    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert "git_host" in names and "far_away" in names


def test_the_operators_settings_stay_and_models_join():
    base = {"model_list": [{"model_name": "mine"}], "general_settings": {"alerting": ["slack"]}, "litellm_settings": {"drop_params": True}}
    config = litellm.config(of("1.77.3", PYTHON, base=base).model_copy(update={}))

    assert config["model_list"] == [{"model_name": "mine"}]
    assert config["general_settings"] == {"master_key": "os.environ/LITELLM_MASTER_KEY", "alerting": ["slack"]}
    assert config["litellm_settings"] == {"drop_params": True}


def test_an_mcp_of_the_operators_own_wins_and_is_told():
    fleet = of("1.77.3", PYTHON, base={"mcp_servers": {"clock": {"url": "http://mine"}, "other": {"url": "http://o"}}})

    assert litellm.config(fleet)["mcp_servers"] == {"clock": {"url": "http://mine"}, "other": {"url": "http://o"}}
    assert "litellm/base.yaml has an mcp_servers entry 'clock'" in litellm.warnings(fleet)[0]


def test_what_does_not_start_by_itself_is_in_a_file_of_its_own():
    some, all_of_them = (yaml.safe_load(file.text)["mcp_servers"] for file in litellm.render(FLEET))

    assert "git_host" not in some and "clock" in some and "far_away" in some
    assert set(all_of_them) == {stanza.litellm_name for stanza in FLEET.stanzas}


@pytest.mark.parametrize(("version", "is_old"), [("1.79.3", True), ("1.80.11", True), ("1.81.16", False), ("1.106.2", False)])
def test_the_gateway_of_an_old_version_gets_packages_of_its_time(version, is_old):
    """With anyio 4.14, that of 1.80.11 says "Attempted to exit a cancel scope"."""
    assert ("anyio<4.14" in requirements(version)) == is_old


def test_an_address_may_be_another_one():
    config = litellm.config(of("1.77.3", SECRETIVE), base=lambda stanza: f"http://127.0.0.1:9/{stanza.name}")

    assert config["mcp_servers"]["git_host"]["url"] == "http://127.0.0.1:9/git-host/sse"
