"""What a child says is seen by people: it gets neither into their browsers nor their terminals, and takes no secret along."""

import re

import httpx
import pytest
from support import Bridge, Http, eventually, zoo

TOKEN = {"authorization": "Bearer a-token-of-24-characters"}
SECRET = "hunter2"
BIDI = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module", params=["human", "json"])
def bridge(request):
    with (
        Bridge(zoo("hostile"), "--log-format", request.param, "--secret", "KEY=/proc/sys/kernel/ostype") as bridge,
        Http(bridge.url) as client,
    ):
        client.call("echo", message="x")
        for name in (
            "t" * 100_000,
            *(f"long-{number}-" + "x" * 1000 for number in range(50)),
            "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066",
        ):
            client.request("tools/call", {"name": name, "arguments": {}})
        eventually(lambda: bridge.logged("</pre>"))
        yield bridge


@pytest.mark.parametrize("path", ["/", "/status.json", "/readyz", "/metrics", "/healthz", "/nowhere"])
def test_a_browser_is_told_to_load_nothing_and_to_frame_nothing(bridge, path):
    headers = bridge.get(path).headers
    policy = headers["content-security-policy"]

    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert re.findall("script-src[^;]*", policy) == (["script-src 'self'"] if path == "/" else [])
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_names_of_tools_are_labels_only_if_they_are_short_and_plain(bridge):
    text = bridge.get("/metrics").text

    assert len(text) < 100_000
    assert not BIDI.search(text)
    assert bridge.metrics().value("mcp_bridge_requests_total", tool="(other)") == 52
    assert bridge.metrics().value("mcp_bridge_requests_total", tool="echo") == 1


def test_the_log_is_plain_text_of_bounded_lines_without_secrets(bridge):
    log = "\n".join(bridge.log)

    assert not BIDI.search(log)
    assert max(map(len, bridge.log)) < 5000
    assert SECRET not in log + bridge.get("/status.json").text + bridge.get("/log.json").text
    assert "password=[redacted]" in log


# Last words


@pytest.fixture(scope="module")
def dying(tmp_path_factory):
    file = tmp_path_factory.mktemp("dying") / "tokens"
    file.write_text("alice a-token-of-24-characters\n")
    options = ["--token-file", file, "--max-restarts", 0, "--backoff-initial", "0.01"]
    with Bridge(zoo("hostile", "--dies"), *options, headers=TOKEN, ready=False) as bridge:
        eventually(lambda: bridge.get("/readyz").json()["state"] == "fatal")
        yield bridge


def test_who_has_no_token_sees_a_state_and_no_reason(dying):
    anybody = httpx.get(f"{dying.url}/readyz", trust_env=False)
    wrong = httpx.get(f"{dying.url}/readyz", headers={"authorization": "Bearer another-token-of-some"}, trust_env=False)

    assert (anybody.status_code, anybody.json()) == (wrong.status_code, wrong.json()) == (503, {"status": "not ready", "state": "fatal"})


def test_who_has_one_sees_the_last_words_without_the_password_in_them(dying):
    reason = dying.get("/readyz").json()["reason"]

    assert "exited (code 3); its last words: cannot reach postgres://[redacted]@db/x" in reason


def test_a_client_is_told_the_same_and_no_secret(dying):
    said = httpx.post(
        f"{dying.url}/mcp",
        headers={**TOKEN, "accept": "application/json, text/event-stream"},
        trust_env=False,
        json={
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
        },
    ).text

    assert "its last words: cannot reach postgres://[redacted]@db/x" in said
    assert SECRET not in said + dying.get("/status.json").text + "\n".join(dying.log)


def test_several_mcps_without_a_token_are_one_word(tmp_path):
    (tmp_path / "tokens").write_text("alice a-token-of-24-characters\n")
    command = zoo("hostile", "--dies")
    (tmp_path / "mcps.yaml").write_text(
        f"mcpServers:\n  good: {{command: {zoo('echo')[0]}, args: ['{zoo('echo')[1]}']}}\n"
        f"  bad: {{command: {command[0]}, args: ['{command[1]}', --dies], max_restarts: 0}}\n"
    )
    with Bridge(None, "--config", tmp_path / "mcps.yaml", "--token-file", tmp_path / "tokens", headers=TOKEN) as bridge:
        eventually(lambda: bridge.get("/bad/readyz").json()["state"] == "fatal")

        assert httpx.get(f"{bridge.url}/readyz", trust_env=False).json() == {"status": "degraded"}
        assert "last words" in bridge.get("/readyz").json()["reason"]


def test_of_several_callers_none_is_told_what_a_child_said_before_it_died(tmp_path):
    """It may be the data of another one's call; the log has it."""
    (tmp_path / "tokens").write_text("alice a-token-of-24-characters\nbob another-token-of-some\n")
    bob = {"authorization": "Bearer another-token-of-some"}
    with Bridge(zoo("hostile"), "--token-file", tmp_path / "tokens", headers=TOKEN) as bridge, Http(bridge.url, headers=TOKEN) as hers:
        alone = hers.call("crash", message="of alice")
        eventually(lambda: bridge.ready()["code"] == 200)
        with Http(bridge.url, headers=bob) as his:
            together = his.call("crash", message="of bob")

        assert "its last words: of alice" in str(alone)
        assert "exited (code 7)" in str(together) and "last words" not in str(together)
        assert eventually(lambda: bridge.logged("last words: of bob"))


def test_of_several_callers_none_sees_what_a_child_wrote_but_an_admin_does(tmp_path):
    (tmp_path / "tokens").write_text("alice a-token-of-24-characters\nbob another-token-of-some\n")
    (tmp_path / "admins").write_text("an-admins-own-token\n")
    admin = {"authorization": "Bearer an-admins-own-token"}
    options = ["--token-file", tmp_path / "tokens", "--admin-token-file", tmp_path / "admins", "--name", "it"]
    with Bridge(zoo("hostile"), *options, headers=TOKEN) as bridge, Http(bridge.url, headers=TOKEN) as hers:
        hers.call("say", message="of alice")
        eventually(lambda: bridge.logged("of alice"))

        def get(path, headers):
            return httpx.get(bridge.url + path, headers=headers, trust_env=False)

        assert get("/status.json", TOKEN).json()["mcps"]["it"]["stderr"] == [] and get("/log.json", TOKEN).status_code == 403
        assert "of alice" in get("/status.json", admin).text and "of alice" in get("/log.json", admin).text
        assert get("/metrics", admin).status_code == 200
        assert [get(path, admin).status_code for path in ("/mcp", "/mcp/", "/sse", "/ws")] == [401] * 4
        assert [get(path, {}).status_code for path in ("/log.json", "/status.json", "/metrics")] == [401] * 3
