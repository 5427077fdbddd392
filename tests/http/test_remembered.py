"""What the gate found out is remembered for a connection, and for no longer than it is true."""

import hashlib
import json
import signal
import time

import pytest
from support import Bridge, eventually, zoo
from support.issuing import AUDIENCE, Issuer, Key
from wire import Connection, call, head, post, read_until

ALICE, BOB, ADMIN = (f"{name}-0123456789-0123456789" for name in ("alice", "bob", "admin"))


@pytest.fixture(params=[False, True], ids=["whole", "apart"])
def on(request):
    """A connection to this bridge."""
    opened = []

    def connect(bridge: Bridge, **options) -> Connection:
        opened.append(Connection(bridge.url, request.param, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.socket.close()


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def reload(bridge: Bridge) -> None:
    before = len(bridge.logged("reloaded"))
    bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(bridge.logged("reloaded")) > before)


def write_callers(path, **may: dict) -> None:
    tokens = {"alice": ALICE, "bob": BOB, "admin": ADMIN}
    path.write_text(json.dumps({"callers": {name: {"token_sha256": hashed(tokens[name]), "may": rules} for name, rules in may.items()}}))


@pytest.fixture
def callers(tmp_path):
    write_callers(tmp_path / "callers", alice={"echo/*": "execute"}, bob={"echo/*": "execute"})
    with Bridge(zoo("echo"), "--callers", tmp_path / "callers", "--name", "echo") as bridge:
        yield bridge


def test_a_caller_that_a_reload_removes_has_its_last_answer(callers, tmp_path, on):
    connection = on(callers)
    session = connection.open(ALICE)
    assert connection.calls(ALICE, session, 3) == [200] * 3

    write_callers(tmp_path / "callers", bob={"echo/*": "execute"})
    reload(callers)

    assert connection.calls(ALICE, session) == [401]


def test_a_caller_from_whom_a_reload_hides_the_mcp_does_not_find_it(callers, tmp_path, on):
    connection = on(callers)
    session = connection.open(ALICE)
    assert connection.calls(ALICE, session, 3) == [200] * 3

    write_callers(tmp_path / "callers", alice={"other/*": "execute"}, bob={"echo/*": "execute"})
    reload(callers)

    assert connection.calls(ALICE, session) == [404]


def test_a_caller_from_whom_a_reload_takes_a_tool_calls_it_no_more(callers, tmp_path, on):
    connection = on(callers)
    session = connection.open(ALICE)
    assert connection.calls(ALICE, session, 3) == [200] * 3

    write_callers(tmp_path / "callers", alice={"echo/*": "execute", "echo/echo": "deny"}, bob={"echo/*": "execute"})
    reload(callers)
    connection.calls(ALICE, session)

    assert b"Unknown tool" in connection.last


def test_each_request_is_of_whose_token_it_shows(callers, on):
    connection = on(callers)
    session = connection.open(ALICE)
    assert connection.calls(ALICE, session, 2) == [200] * 2

    assert connection.calls(BOB, session) == [404]  # it is alice's
    assert connection.calls("", session) == [401]
    assert connection.calls("", session, x_api_key=BOB) == [404]
    assert connection.calls(f"{ALICE}.", session) == [401]
    assert connection.calls(ALICE, session, 2) == [200] * 2
    assert connection.calls("", session, x_api_key=ALICE) == [200]


def test_a_host_or_an_origin_that_is_not_ours_stays_out_on_any_connection(callers, on):
    connection = on(callers)
    session = connection.open(ALICE)
    assert connection.calls(ALICE, session, 2) == [200] * 2

    assert connection.calls(ALICE, session, origin="https://evil.example.com") == [403]
    assert connection.calls(ALICE, session, host="evil.example.com") == [403]
    assert connection.calls(ALICE, session, 2) == [200] * 2


def test_a_token_that_a_rewritten_file_has_not_is_good_for_nothing_from_the_reload_on(tmp_path, on):
    (tmp_path / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\n")
    with Bridge(zoo("echo"), "--token-file", tmp_path / "tokens") as bridge:
        connection = on(bridge)
        session = connection.open(ALICE)
        assert connection.calls(ALICE, session, 3) == [200] * 3

        (tmp_path / "tokens").write_text(f"bob {BOB}\n")
        assert connection.calls(ALICE, session) == [200]  # it is read at a reload
        reload(bridge)
        assert connection.calls(ALICE, session) == [401]

        (tmp_path / "tokens").write_text(f"bob {ALICE}\n")
        reload(bridge)
        assert connection.calls(ALICE, session) == [404]  # somebody else's now


def test_a_jwt_is_good_for_nothing_once_it_has_expired(on):
    with Issuer().serving() as issuer:
        options = ("--oidc-issuer", issuer.url, "--audience", AUDIENCE, "--jwt-leeway", "0")
        with Bridge(zoo("echo"), *options) as bridge:
            connection = on(bridge)
            end = int(time.time()) + 3
            token = issuer.token(exp=end)
            session = connection.open(token)
            statuses = connection.calls(token, session, 3)
            while time.time() < end:
                time.sleep(0.05)

            assert statuses == [200] * 3
            assert connection.calls(token, session) == [401]
            assert b"the token has expired" in connection.last


def test_a_jwt_whose_key_is_gone_is_good_for_nothing(tmp_path, on):
    one, two = Key("one"), Key("two", "ES256")
    issuer = Issuer(one, two)
    (tmp_path / "keys").write_bytes(issuer.jwks())
    with Bridge(zoo("echo"), "--jwks", tmp_path / "keys", "--audience", AUDIENCE) as bridge:
        connection = on(bridge)
        token = issuer.token(one)
        session = connection.open(token)
        assert connection.calls(token, session, 3) == [200] * 3

        issuer.keys = [two]
        (tmp_path / "keys").write_bytes(issuer.jwks())
        before = len(bridge.logged("keys for tokens"))
        bridge.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(bridge.logged("keys for tokens")) > before)

        assert connection.calls(token, session) == [401]


def test_a_jwt_of_whom_the_callers_file_has_no_more_is_good_for_nothing(tmp_path, on):
    issuer = Issuer()
    (tmp_path / "keys").write_bytes(issuer.jwks())
    (tmp_path / "callers").write_text(json.dumps({"callers": {"alice": {"jwt": {"sub": "alice"}, "may": {"echo/*": "execute"}}}}))
    options = ("--jwks", tmp_path / "keys", "--audience", AUDIENCE, "--callers", tmp_path / "callers", "--name", "echo")
    with Bridge(zoo("echo"), *options) as bridge:
        connection = on(bridge)
        token = issuer.token()
        session = connection.open(token)
        assert connection.calls(token, session, 3) == [200] * 3

        (tmp_path / "callers").write_text(json.dumps({"callers": {"bob": {"jwt": {"sub": "bob"}, "may": {"echo/*": "execute"}}}}))
        reload(bridge)

        assert connection.calls(token, session) in ([401], [403])


def test_an_mcp_that_a_reload_removes_or_replaces_is_not_served_by_the_one_before_it(tmp_path, on):
    def configure(**mcps: str) -> None:
        command, *words = zoo("echo")
        servers = {name: {"command": command, "args": words, "env": {"ANY": value}} for name, value in mcps.items()}
        (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": servers}))

    configure(one="a", two="a")
    with Bridge(None, "--config", tmp_path / "mcps.json") as bridge:
        connection = on(bridge, path="/one/mcp")
        session = connection.open()
        assert connection.calls("", session, 3) == [200] * 3
        connection.post(call("pid"), mcp_session_id=session)
        before = connection.last.partition(b"\r\n\r\n")[2]

        configure(one="b", two="a")
        reload(bridge)
        assert connection.post(call("pid"), mcp_session_id=session) == 200
        assert connection.last.partition(b"\r\n\r\n")[2] != before

        configure(two="a")
        reload(bridge)
        assert connection.post(call("pid"), mcp_session_id=session) == 404


def test_a_head_that_comes_alone_and_is_that_of_the_last_request_has_a_time_limit_for_its_body():
    with Bridge(zoo("echo"), "--body-timeout", "1") as bridge, Connection(bridge.url) as connection:
        session = connection.open()
        assert connection.calls("", session, 2) == [200] * 2
        data = post(bridge.url, call("echo", message="x"), mcp_session_id=session)
        connection.socket.sendall(data[: data.index(b"\r\n\r\n") + 4])

        answer = read_until(connection.socket, b"--body-timeout")

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_head_that_comes_alone_is_followed_by_its_body_in_any_pieces_and_by_the_next_request(echo, pieces):
    with Connection(echo.url) as connection:
        session = connection.open()
        assert connection.calls("", session, 2) == [200] * 2
        for text in ("first", "second", "third" * 2000):
            data = post(echo.url, call("echo", message=text), mcp_session_id=session)
            cut = data.index(b"\r\n\r\n") + 4
            behind = head("GET", echo.url, "/healthz")
            body = data[cut:] + behind
            size = -(-len(body) // pieces)
            connection.socket.sendall(data[:cut])
            for begin in range(0, len(body), size):
                time.sleep(0.01)
                connection.socket.sendall(body[begin : begin + size])

            answer = read_until(connection.socket, b"ok\n")
            assert text.encode() in answer and answer.count(b"200 OK") == 2
