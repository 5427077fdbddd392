"""What callers may do by a group's address is what they may do with each member; audit, limits and metrics name the member."""

import hashlib
import json

import pytest
from configs import config, entry, names
from support import Bridge, Http, Modern, Refused, Ws, text, zoo

TOKENS = {name: f"{name}-0123456789-0123456789" for name in ("part", "none", "few", "lost", "looks", "refused", "full")}
ADMIN = {"authorization": "Bearer admin-secret-0123456789"}
RIGHTS = {
    "part": {"may": {"seen/*": "execute", "seen/pid": "deny", "seen/resource:test://two": "deny", "seen/add": "read"}},
    "none": {"may": {"elsewhere/*": "execute"}},
    "few": {"may": {"*/*": "execute"}, "limits": {"requests": 0.001, "burst": 4}},
    "lost": {"may": {"*/*": "execute"}, "limits": {"requests": 0.001, "burst": 3}},
    "looks": {"may": {"*/*": "execute"}, "limits": {"requests": 0.001, "burst": 3}},
    "refused": {"may": {"*/*": "execute", "seen/denied": "deny"}},
    "full": {"may": {"*/*": "admin"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("callers")


@pytest.fixture(scope="module")
def bridge(folder):
    hashed = {name: f"sha256:{hashlib.sha256(token.encode()).hexdigest()}" for name, token in TOKENS.items()}
    callers = {name: {"token_sha256": hashed[name], **rights} for name, rights in RIGHTS.items()}
    (folder / "callers.json").write_text(json.dumps({"callers": callers}))
    file = config(
        folder, {"short": {"mcps": ["seen", "hidden"], "prefix": "when-needed"}}, seen=entry(zoo("echo")), hidden=entry(zoo("echo"))
    )
    options = ("--callers", folder / "callers.json", "--audit", folder / "audit", "--admin-token-file", folder / "admins")
    (folder / "admins").write_text("admin-secret-0123456789\n")
    with Bridge(None, "--config", file, *options, headers=ADMIN) as bridge:
        yield bridge


def of(bridge, name, group="all", kind=Http):
    return kind(f"{bridge.url}/{group}", headers={"authorization": f"Bearer {TOKENS[name]}"})


@pytest.mark.parametrize("kind", [Http, Modern])
def test_what_is_hidden_from_a_caller_is_not_in_its_group(bridge, kind):
    with of(bridge, "part", kind=kind) as client:
        tools = names(client.request("tools/list"))
        unknown, denied, nobody = client.call("hidden-echo", message="x"), client.call("seen-pid"), client.call("nobody-echo", message="x")
        uris = [item["uri"] for item in client.request("resources/list")["result"]["resources"]]

        assert "seen-echo" in tools and "seen-pid" not in tools and not any(name.startswith("hidden") for name in tools)
        assert unknown["error"]["message"].replace("hidden", "nobody") == nobody["error"]["message"]
        assert denied["error"]["message"] == "Unknown tool: pid"
        assert "and calls need execute" in client.call("seen-add", a=1, b=2)["error"]["message"]
        assert "test://one" in uris and "test://two" not in uris
        assert client.request("resources/read", {"uri": "test://two"})["error"]["code"] == (-32602 if kind is Modern else -32002)
        assert "hidden" not in json.dumps(client.initialized)


def test_a_name_is_not_given_a_prefix_for_what_its_caller_may_not_know_of(bridge):
    with of(bridge, "part", "short") as part, of(bridge, "full", "short") as full:
        assert "echo" in names(part.request("tools/list")) and text(part.call("echo", message="hi")) == "hi"
        assert "seen-echo" in names(full.request("tools/list")) and "error" in full.call("echo", message="hi")


def test_a_group_of_nothing_that_a_caller_may_see_is_not_there(bridge):
    headers = {"authorization": f"Bearer {TOKENS['none']}"}
    there, absent = (bridge.http.post(f"/{name}/mcp", headers=headers, json={}) for name in ("all", "nil"))

    assert (there.status_code, there.text.replace("/all/", "/nil/")) == (absent.status_code, absent.text)
    assert bridge.http.get("/all/readyz", headers=headers).status_code == 404


def test_limits_hold_for_the_member_that_is_called(bridge):
    with of(bridge, "few", kind=Modern) as client:  # which has asked what the group is: that counts for its first member
        for _ in range(3):
            assert text(client.call("seen-echo", message="x")) == "x"
        with pytest.raises(Refused, match="limits.requests") as refused:
            client.call("seen-echo", message="x")

        assert refused.value.status == 429
        assert "error" not in client.call("hidden-echo", message="x")


def test_what_is_nobodys_counts_too(bridge):
    with of(bridge, "lost", kind=Modern) as client:
        assert [client.call("nobody-echo")["error"]["code"] for _ in range(2)] == [-32602] * 2
        with pytest.raises(Refused, match="limits.requests"):
            client.call("nobody-echo")


def test_what_the_group_says_of_itself_counts_too(bridge):
    with of(bridge, "looks", kind=Modern) as client:  # which has asked once
        assert [client.send("server/discover").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("kind", [Http, Ws, Modern])
def test_audit_and_metrics_name_the_group_for_what_it_refuses_itself_and_the_member_for_the_rest(bridge, folder, kind):
    def refusals(name):
        return sum(bridge.metrics().value("mcp_bridge_request_refusals_total", mcp=name, status=status) or 0 for status in ("200", "400"))

    before, began = {name: refusals(name) for name in ("all", "seen")}, len((folder / "audit").read_text().splitlines())
    with of(bridge, "refused", kind=kind) as client:
        assert [client.call(name)["error"]["code"] for name in ("nobody-echo", "seen-denied")] == [-32602] * 2
        assert text(client.call("seen-echo", message="x")) == "x"
    lines = [json.loads(line) for line in (folder / "audit").read_text().splitlines()[began:]]
    calls = [(line["mcp"], line["tool"], line["outcome"], line.get("rule")) for line in lines if line.get("method") == "tools/call"]
    assert calls == [("all", "nobody-echo", "refused", "request"), ("seen", "denied", "denied", calls[1][3]), ("seen", "echo", "ok", None)]
    assert {name: refusals(name) - count for name, count in before.items()} == {"all": 1, "seen": 1}


def test_audit_and_metrics_name_the_member_and_its_tool(bridge, folder):
    with of(bridge, "full") as client:
        client.call("hidden-typed", value=1)
    lines = [json.loads(line) for line in (folder / "audit").read_text().splitlines()]
    calls = [line for line in lines if line.get("tool") == "typed"]
    metrics = bridge.http.get("/metrics", headers=ADMIN).text

    assert [(line["mcp"], line["caller"], line["outcome"]) for line in calls] == [("hidden", "full", "ok")]
    assert "mcp_bridge_requests_total{" in metrics and 'mcp="hidden"' in metrics and 'tool="typed"' in metrics
