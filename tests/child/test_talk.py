"""What a child may write, and what it is told: noise, halves, floods, and nothing of the bridge's own."""

import json
import os

import pytest
from support import Bridge, Http, eventually, text, zoo

# What it writes


def test_noise_on_stdout_is_dropped_and_every_call_works(around, connect, transport):
    """Edge case 29: a banner before the handshake, junk before each message, messages before initialize."""
    client = connect(transport, around("chatty").url)
    answers = [text(client.call("echo", message=str(number))) for number in range(40)]

    assert answers == [str(number) for number in range(40)]
    assert int(text(client.call("noise"))) > 40


def test_lines_in_pieces_with_carriage_returns_are_whole_again(around, connect, transport):
    """Edge case 29."""
    client = connect(transport, around("half_lines").url)

    assert text(client.call("echo", message="h\u00e4lf \U0001f600")) == "h\u00e4lf \U0001f600"
    assert len(text(client.call("huge", bytes=100_000))) == 100_000


@pytest.mark.parametrize("kind", ["bad_utf8", "carriage_return", "surrogate", "huge_number", "unknown_member", "duplicate_member"])
def test_odd_answers_are_answers(around, connect, transport, kind):
    answer = connect(transport, around("bad_results").url).call("bad", kind=kind)

    assert answer["result"]["content"]


@pytest.mark.parametrize(
    "kind",
    json.loads(
        '["no_content","content_null","block_null","text_number","unknown_type","structured_list","result_null",'
        '"result_string","result_list","error_no_code","error_string","error_null","error_huge_code"]'
    ),
)
def test_what_is_json_passes_as_it_is(around, connect, kind):
    """The strict profile judges nothing."""
    answer = connect(Http, around("bad_results").url).call("bad", kind=kind)

    assert ("result" in answer) != ("error" in answer)


@pytest.mark.parametrize("kind", ["nan", "deep", "no_result"])
def test_what_is_no_json_rpc_answers_nothing_and_breaks_nothing(around, connect, kind):
    bridge = around("bad_results", options=("--request-timeout", "0.4"))
    client = connect(Http, bridge.url)
    answer = client.call("bad", kind=kind)

    assert answer["error"]
    assert text(client.call("echo", message="on")) == "on"
    assert not bridge.logged("Traceback")


def test_a_megabyte_of_stderr_without_a_newline_stops_nobody(around, connect, transport):
    """Edge case 30."""
    client = connect(transport, around("stderr_flood").url)

    assert text(client.call("echo", message="hi")) == "hi"


def test_its_last_words_are_kept_for_people(around, connect):
    bridge = around("stderr_flood", "--start", 0)
    connect(Http, bridge.url).call("echo", message="x")
    tail = eventually(lambda: bridge.status()["mcps"]["stderr_flood"]["stderr"])

    assert "WARN" in tail[-1]
    assert len(tail) <= 20


def test_a_child_that_needs_initialized_at_once_gets_it_at_once(around, connect, transport):
    assert text(connect(transport, around("needs_initialized").url).call("echo", message="hi")) == "hi"


def test_the_strictest_child_survives_whatever_clients_send(around, connect, transport):
    """It exits at the first line that any SDK would not take: docs/bridge.md, "What a child gets"."""
    bridge = around("strict_go")
    client = connect(transport, bridge.url)
    pid = bridge.children()
    for message in (
        {"jsonrpc": "2.0", "id": 901, "method": "x", "params": None},
        {"jsonrpc": "2.0", "id": 902, "method": "x", "extra": 1},
        {"jsonrpc": "2.0", "id": 2**60, "method": "x"},
        {"jsonrpc": "2.0", "id": "\u2028", "method": "x\u2028"},
        {"jsonrpc": "2.0", "method": "notifications/x", "params": None},
        {"jsonrpc": "2.0", "id": 903, "method": "x", "params": {"n": 10**40}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 904, "method": "", "params": {}},
        {"jsonrpc": "2.0", "id": 905, "method": "x", "params": {"s": "\x00\x1f\x7f\ufffe"}},
    ):
        client.deliver(message)
    for bad in (
        b"[]",
        b"[1]",
        b"{",
        b'{"jsonrpc":"2.0","id":906,"method":"x","params":[]}',
        b"\xff",
        b" ",
        b'{"jsonrpc":"2.0","id":907,"method":"x","params":' + b'{"a":' * 600 + b"1" + b"}" * 601,
    ):
        (client.post if hasattr(client, "post") else client.send)(bad)

    assert text(client.call("echo", message="alive")) == "alive"
    assert bridge.children() == pid


# What it is told


ALLOWED = {
    "HOME",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
}


def environment(bridge) -> dict:
    with Http(bridge.url) as client:
        return json.loads(text(client.call("env")))


def test_its_environment_is_a_small_set_and_what_is_named(tmp_path):
    (tmp_path / "env").write_text("# keys\nFROM_FILE=1\nQUOTED='a b'\nexport EXPORTED=x=y\nNAMED=file\n\nSPACED = s \n")
    ours = {
        "OUR_SECRET": "s",
        "PASSED": "through",
        "OPENAI_API_KEY": "sk",
        "MCP_BRIDGE_SESSION_KEY": "k" * 32,
        "MCP_BRIDGE_LOG_LEVEL": "info",
    }
    options = ["--env", "NAMED=flag", "--env", "PASSED", "--env", "EMPTY=", "--env-file", tmp_path / "env"]
    with Bridge(zoo("echo"), *options, env=ours) as bridge:
        seen = environment(bridge)

    named = {"FROM_FILE": "1", "QUOTED": "a b", "EXPORTED": "x=y", "NAMED": "flag", "PASSED": "through", "EMPTY": "", "SPACED": "s"}
    assert {name: seen.get(name) for name in named} == named
    assert seen.keys() - ALLOWED - named.keys() <= {"MCP_BRIDGE_CHILD"}
    assert seen["PATH"] == os.environ["PATH"]


def test_proxies_are_passed_on_and_told_without_their_passwords():
    with Bridge(zoo("echo"), env={"https_proxy": "http://me:hush-hush@proxy.example:3128"}) as bridge:
        assert environment(bridge)["https_proxy"] == "http://me:hush-hush@proxy.example:3128"
        assert bridge.logged("the child is told of proxies https_proxy=http://[redacted]@proxy.example:3128")
        assert not bridge.logged("hush-hush")


def test_nothing_of_the_bridge_is_in_it_or_on_a_command_line(tmp_path):
    token, key = tmp_path / "tokens", tmp_path / "key"
    token.write_text("very-secret-token\n")
    ours = {"MCP_BRIDGE_TOKEN_FILE": str(token), "MCP_BRIDGE_SESSION_KEY_FILE": str(key), "MCP_BRIDGE_NAME": "from-environment"}
    headers = {"authorization": "Bearer very-secret-token"}
    with Bridge(zoo("echo"), env=ours, headers=headers) as bridge, Http(bridge.url, headers=headers) as client:
        seen = client.call("env"), client.call("arguments"), client.call("received")
        (child,) = bridge.children()
        seen = str(seen) + open(f"/proc/{child}/cmdline").read() + open(f"/proc/{child}/environ").read()

    assert bridge.logged("mcp-bridge") is not None
    for word in ("very-secret-token", str(token), str(key), "from-environment"):
        assert word not in seen


def test_its_directory_is_the_one_named_and_its_arguments_those_after_the_dashes(tmp_path, start):
    odd = ["--", "-x", "two words", "", "ümlaut", "$HOME", "--port"]
    with Http(start("echo", *odd, options=["--cwd", tmp_path]).url) as client:
        assert text(client.call("cwd")) == str(tmp_path)
        assert json.loads(text(client.call("arguments"))) == odd


def test_it_is_introduced_to_the_bridge_and_not_to_its_clients(around, connect):
    client = connect(Http, around("needs_initialized").url, info={"name": "secretive", "version": "1"}, capabilities={"x": {}})
    received = json.loads(text(client.call("received")))

    assert json.loads(received[0])["params"]["clientInfo"]["name"] == "mcp-bridge"
    assert json.loads(received[1]) == {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert "secretive" not in "".join(received)
