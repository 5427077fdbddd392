"""Members that have a bridge each: it decides what a caller may do, by that caller's own key, and the group goes on without it."""

import hashlib
import hmac
import json
import time

import httpx
import pytest
from configs import Sidecar, apart, config, names
from support import Bridge, Http, Modern, eventually, text, zoo

KEYS = {name: f"{name}-0123456789-0123456789" for name in ("part", "none", "full", "operator", "discovery")}
RIGHTS = {
    "part": {"may": {"seen/*": "execute", "seen/pid": "deny", "seen/add": "read"}},
    "none": {"may": {"elsewhere/*": "execute"}},
    "full": {"may": {"*/*": "execute"}},
}
OF_FLEET = {"operator": {"may": {"*/*": "admin"}}, "discovery": {"may": {"*/method:server/discover": "execute"}}}


def hashed(key):
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def derived(key, name):
    return hmac.new(key.encode(), name.encode(), "sha256").hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of a fleet: callers for everybody, and for each bridge the keys of the fleet's own callers."""
    folder = tmp_path_factory.mktemp("keys")
    callers = OF_FLEET | {name: {"token_sha256": hashed(KEYS[name]), **rights} for name, rights in RIGHTS.items()}
    (folder / "callers.json").write_text(json.dumps({"callers": callers}))
    (folder / "group.keys").write_text(f"operator {hashed(KEYS['operator'])}\ndiscovery {hashed('nobody-has-this-one')}\n")
    for name in ("seen", "hidden"):
        lines = {"operator": derived(KEYS["operator"], name), "discovery": f"{KEYS['discovery']}-{name}"}
        (folder / f"{name}.keys").write_text("".join(f"{caller} {hashed(key)}\n" for caller, key in lines.items()))
        (folder / f"{name}.discovery").write_text(f"{lines['discovery']}\n")
    return folder


@pytest.fixture(scope="module")
def bridge(folder):
    rules = ("--callers", folder / "callers.json")
    sidecars = {
        name: Sidecar(
            zoo("echo"), folder / name, "--name", name, *rules, "--token-file", folder / f"{name}.keys", "--audit", folder / f"{name}.audit"
        )
        for name in ("seen", "hidden")
    }
    own = {
        name: {"socket": str(folder / name), "key_file": str(folder / f"{name}.discovery"), "keys_of": ["operator"]} for name in sidecars
    }
    with sidecars["seen"], sidecars["hidden"]:
        with Bridge(None, "--config", config(folder, None, own), *rules, "--token-file", folder / "group.keys") as bridge:
            yield bridge


def of(bridge, name, kind=Http):
    return kind(f"{bridge.url}/all", headers={"authorization": f"Bearer {KEYS[name]}"})


@pytest.mark.parametrize("kind", [Http, Modern])
def test_each_caller_has_what_the_members_own_bridge_lets_them(bridge, kind):
    with of(bridge, "part", kind) as part, of(bridge, "full", kind) as full:
        seen, all_of_them = names(part.request("tools/list")), names(full.request("tools/list"))

        assert "seen-echo" in seen and "seen-pid" not in seen and not any(name.startswith("hidden") for name in seen)
        assert {"seen-echo", "seen-pid", "hidden-echo"} <= set(all_of_them)
        assert text(part.call("seen-echo", message="x")) == "x" and text(full.call("hidden-echo", message="y")) == "y"
        assert "Unknown tool" in part.call("seen-pid")["error"]["message"]
        assert "and calls need execute" in part.call("seen-add", a=1, b=2)["error"]["message"]
        assert text(full.call("seen-add", a=1, b=2)) == "3"


def test_who_may_see_no_member_finds_no_group(bridge):
    headers = {"authorization": f"Bearer {KEYS['none']}"}

    assert bridge.http.post("/all/mcp", headers=headers, json={}).status_code == 404
    assert bridge.http.post("/all/mcp", json={}).status_code == 401


def test_calls_are_written_down_where_the_server_is_by_who_made_them(bridge, folder):
    with of(bridge, "full") as full, of(bridge, "operator") as operator:
        assert text(full.call("hidden-typed", value=7)) and text(operator.call("hidden-typed", value=8))
    lines = [json.loads(line) for line in (folder / "hidden.audit").read_text().splitlines()]

    assert [(line["caller"], line["outcome"]) for line in lines if line.get("tool") == "typed"] == [("full", "ok"), ("operator", "ok")]


def at(folder, name, key, *messages):
    """What a member's bridge answers to who comes by its socket with this key: the last answer, in one session."""
    headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(folder / name)), base_url="http://localhost", headers=headers) as client:
        for id, (method, params) in enumerate([("initialize", {"protocolVersion": "2025-11-25"}), *messages]):
            answer = client.post("/mcp", json={"jsonrpc": "2.0", "id": id, "method": method, "params": params})
            client.headers.update({name: value for name, value in answer.headers.items() if name == "mcp-session-id"})
    return answer


def test_what_a_member_is_sent_for_the_operator_opens_nothing_else(bridge, folder):
    """Who takes its bridge's place would learn that."""
    sent = derived(KEYS["operator"], "seen")

    assert at(folder, "seen", sent).status_code == 200
    assert at(folder, "hidden", sent).status_code == 401 and at(folder, "hidden", KEYS["operator"]).status_code == 401
    assert bridge.http.post("/all/mcp", headers={"authorization": f"Bearer {sent}"}, json={}).status_code == 401


def test_the_groups_own_key_opens_nothing(bridge, folder):
    key = (folder / "seen.discovery").read_text().strip()
    tools, resources = (at(folder, "seen", key, (f"{kind}/list", {})).json()["result"][kind] for kind in ("tools", "resources"))
    call, read = ("tools/call", {"name": "echo", "arguments": {"message": "x"}}), ("resources/read", {"uri": "test://one"})

    assert tools == resources == []
    assert "Unknown tool" in at(folder, "seen", key, call).text and "not found" in at(folder, "seen", key, read).text
    assert at(folder, "hidden", key).status_code == 401


def test_a_member_that_ends_is_missing_and_comes_back_by_itself(tmp_path):
    with apart(tmp_path, {"all": {"wait": 1}}, well=zoo("echo"), ill=zoo("echo")) as bridge, Http(f"{bridge.url}/all") as client:
        assert text(client.call("ill-echo", message="hi")) == "hi"
        bridge.sidecars["ill"].stop()
        eventually(lambda: "ill-echo" not in names(client.request("tools/list")))
        began = time.monotonic()
        for _ in range(20):
            assert "well-echo" in names(client.request("tools/list"))
        took = time.monotonic() - began
        refused = client.call("ill-echo", message="hi")
        with Sidecar(zoo("echo"), tmp_path / "ill"):
            eventually(lambda: "ill-echo" in names(client.request("tools/list")))

            assert text(client.call("ill-echo", message="hi")) == "hi"
        assert took < 10  # and not a second each
        assert "its bridge does not answer: is it started?" in refused["error"]["message"]
        assert len(bridge.logged("its bridge is not there")) <= 2  # with that of the second end


def test_a_message_that_is_too_long_is_an_error_and_the_next_call_goes_through(tmp_path):
    with (
        apart(tmp_path, None, "--max-line", "100000", well=zoo("echo"), long=zoo("long_line")) as bridge,
        Http(f"{bridge.url}/all") as client,
    ):
        refused = client.call("long-long", bytes=200_000)

        assert "more than 100000 bytes" in refused["error"]["message"]
        assert len(text(client.call("long-long", bytes=50_000))) > 49_000
        assert text(client.call("well-echo", message="hi")) == "hi"


def test_a_link_in_the_place_of_a_members_socket_leads_nowhere(tmp_path):
    with apart(tmp_path, {"all": {"wait": 1}}, well=zoo("echo"), ill=zoo("echo")) as bridge:
        bridge.sidecars["ill"].stop()
        (tmp_path / "ill").unlink(missing_ok=True)
        (tmp_path / "ill").symlink_to(tmp_path / "well")
        with Http(f"{bridge.url}/all") as client:
            tools = names(client.request("tools/list"))

            assert "well-echo" in tools and "ill-echo" not in tools
            assert "its bridge does not answer" in client.call("ill-echo", message="x")["error"]["message"]
