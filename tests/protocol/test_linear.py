"""Nothing that stands on the event loop takes more than so many steps for each byte, whatever the bytes are.

While one message is looked at nobody else is served, so what is quadratic stops the bridge for all. Each case is run at one
size and at four times that size, in CPU time of this thread: it must not grow much more than the bytes do, and a byte must not
cost more than a few looks at it (`sum` looks once). Generous bounds: a quadratic loop or a call for each byte misses them by far.
"""

import asyncio
import gc
import random
import time
from collections import deque
from contextlib import suppress

import pytest
from msgspec import Raw
from world import Outbox, World

from bridge.budget import Budget, Reservation
from bridge.child.lines import Lines
from bridge.child.process import Process
from bridge.http import body as bodies
from bridge.http.fast import FastProtocol, FastResponse
from bridge.protocol import envelope, litellm_results, spelling, subscriptions
from bridge.protocol.eras import header_rules
from bridge.protocol.eras.tasks import Tasks
from bridge.protocol.errors import Malformed
from bridge.protocol.mirrored_headers import annotations
from bridge.protocol.tools import Pattern, Tools

SMALL, FACTOR = 1 << 16, 4
GROWTH = 2.5  # times as much as the bytes grow
LOOKS = 50  # at each byte
CHEAP = 25  # looks at each byte, which say nothing of how it grows
SLACK = 0.004  # seconds

TOKENS = [b"\\\\", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b'\\"', b"x", "é\u2028".encode(), b"\r", b"\\u0041", b"*a", b"/", b"%41"]
PARTS = [
    b"1",
    b"{}",
    b"[]",
    b'""',
    b'"a"',
    b'{"name":"x"}',
    b'{"type":"text","text":"x"}',
    b'{"a":[{"b":[[]]}]}',
    b'"\\ud800"',
    b"null",
    b'{"type":"resource_link","uri":"x:y","name":"z"}',
    b"[" * 120 + b"]" * 120,
    b'{"jsonrpc":"2.0","method":"x"}',
]
MEMBERS = [
    b'"a":1',
    b'"_meta":{}',
    b'"name":"x"',
    b'"n\\u0061me":"x"',
    b'"b":{"c":[]}',
    b'"_meta":{"progressToken":1}',
    b'"content":[]',
    b'"":""',
]


def strings(size: int, atom: bytes) -> bytes:
    return b'"%b"' % (atom * (size // len(atom)))


def arrays(size: int, atom: bytes) -> bytes:
    return b"[%b]" % b",".join([atom] * (size // (len(atom) + 1)))


def objects(size: int, atom: bytes) -> bytes:
    return b"{%b}" % b",".join([atom] * (size // (len(atom) + 1)))


def numbered(size: int, atom: bytes) -> bytes:
    return b"{%b}" % b",".join(b'"%x":%b' % (number, atom) for number in range(size // (len(atom) + 9)))


VALUES = [
    *((strings, token) for token in TOKENS),
    *((arrays, part) for part in PARTS),
    *((objects, member) for member in MEMBERS),
    (numbered, b"1"),
    (numbered, b'"a"'),
]


def params(value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":%b,"_meta":{"progressToken":1}}}' % value


def ask(world: World, body: bytes) -> None:
    """A client's request to its child and back, as far as it gets."""
    session = next(iter(world.relay.sessions.values()), None) or world.session()
    message = envelope.from_client(body)
    world.relay.request(session, message, spelling.params(message), Outbox(), world.now)
    world.relay.leave(session, world.now)


def hear(world: World, line: bytes) -> None:
    """A child's answer to a client's call."""
    session = world.session()
    message = envelope.from_client(params(b"{}"))
    world.relay.request(session, message, spelling.params(message), Outbox(), world.now)
    id = world.sent()[-1]["id"]
    world.relay.received(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (id, line), world.now)
    world.relay.leave(session, world.now)


def tell(world: World, method: bytes, value: bytes) -> None:
    """What a child tells its client."""
    world.relay.received(b'{"jsonrpc":"2.0","method":"notifications/%b","params":{"uri":%b}}' % (method, value), world.now)


STRICT, KIND = World(), World(profile_name="litellm")
WAYS = {
    "a call": lambda value: ask(STRICT, params(value)),
    "params": lambda value: ask(STRICT, b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % value),
    "meta": lambda value: ask(STRICT, b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":%b}}' % value),
    "an id": lambda value: ask(STRICT, b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % value),
    "a batch": lambda value: [envelope.from_client(part) for part in envelope.split(value)],
    "a body cut off": lambda value: ask(STRICT, params(value)[:-5]),
    "an answer": lambda value: hear(STRICT, b'{"content":%b}' % value),
    "an answer for LiteLLM": lambda value: hear(KIND, b'{"content":%b,"_meta":%b,"structuredContent":%b}' % (value, value, value)),
    "a result": lambda value: hear(KIND, value),
    "content of a block": lambda value: litellm_results.call_result(
        Raw(b'{"content":[{"type":"resource_link","name":"x","uri":%b}]}' % value)
    ),
    "a list of tools": lambda value: litellm_results.tool_list(Raw(b'{"tools":%b}' % value)),
    "a filtered list of tools": lambda value: Tools(deny=["*a*b"]).page(Raw(b'{"tools":%b}' % value)),
    "a schema": lambda value: (litellm_results.tool_list(Raw(b'{"tools":[{"name":"x","inputSchema":%b}]}' % value)), annotations(value)),
    "an update": lambda value: tell(STRICT, b"resources/updated", value),
    "progress": lambda value: tell(STRICT, b"progress", value),
    "a notification": lambda value: tell(STRICT, b"made_up", value),
    "a wish for tasks": lambda value: Tasks().own_only("somebody", Raw(b'{"notifications":{"taskIds":%b}}' % value)),
    "resources of a wish": lambda value: list(envelope.strings(value)),
    "noise": lambda value: STRICT.relay.received(value, 1.0),
}


def seconds(run, argument) -> float:
    """The best of two, because others use this machine, too."""
    best = float("inf")
    for _ in range(2):
        begun = time.thread_time()
        with suppress(Malformed, ValueError):
            run(argument)
        best = min(best, time.thread_time() - begun)
    return best


def is_linear(run, made) -> str:
    """Empty, or what it took. `made(size)` makes the argument."""
    for _ in range(3):  # whoever is disturbed three times in a row is slow
        small, large = made(SMALL), made(SMALL * FACTOR)
        gc.disable()
        look = seconds(sum, bytes(SMALL * FACTOR)) / (SMALL * FACTOR)
        few, many = seconds(run, small), seconds(run, large)
        gc.enable()
        size = len(large) if isinstance(large, bytes | str) else SMALL * FACTOR
        # What is refused for its size may cost next to nothing below it.
        if many <= max(few * FACTOR * GROWTH, look * size * CHEAP) + SLACK and many <= look * size * LOOKS + SLACK:
            return ""
    return f"{few:.4f} s at {SMALL} bytes, {many:.4f} s at {FACTOR} times as many: {many / size / look:.0f} looks a byte"


@pytest.mark.parametrize("way", WAYS)
def test_no_message_costs_more_than_its_bytes(way):
    slow = {
        f"{shape.__name__} of {atom[:30]!r}": why for shape, atom in VALUES if (why := is_linear(WAYS[way], lambda size: shape(size, atom)))
    }

    assert slow == {}


def test_no_mixture_of_what_json_is_made_of_costs_more_than_its_bytes():
    chance = random.Random(12)
    slow = {}
    atoms = [b'\\u0041\r\\"]']  # each quote began a string that had no end
    for _ in range(40):
        atom = (
            atoms.pop()
            if atoms
            else b"".join(
                chance.choices([*TOKENS, b"[", b"]", b"{", b"}", b'"', b",", b":", b"1", b'"a":', b"},{", b"],["], k=chance.randint(1, 6))
            )
        )
        way = chance.choice(list(WAYS))
        if why := is_linear(WAYS[way], lambda size: atom * (size // len(atom))):
            slow[way, atom] = why

    assert slow == {}


# -- what comes in pieces --------------------------------------------------------------------------------------------------------


def drip(size: int) -> list[bytes]:
    return [b"x"] * (size // 8)


def read_body(pieces: list[bytes]) -> None:
    events = iter(
        [*({"type": "http.request", "body": piece, "more_body": True} for piece in pieces), {"type": "http.request", "body": b"."}]
    )

    async def receive():
        return next(events)

    body = asyncio.run(bodies.read(receive, {}, 1 << 30, Reservation(Budget(), "")))
    assert len(body) == len(pieces) + 1


def read_lines(pieces: list[bytes]) -> None:
    lines = Lines(1 << 30)
    for piece in pieces:
        lines.feed(piece)
    assert len(lines.feed(b"\n")[0][0]) == len(pieces)


def test_a_body_that_comes_byte_by_byte_is_not_copied_at_each_of_them():
    assert is_linear(read_body, drip) == ""


def test_a_body_on_the_fast_path_is_not_copied_at_each_byte_either():
    def read(pieces: list[bytes]) -> None:
        protocol = FastProtocol.__new__(FastProtocol)
        protocol.fast, protocol.body = FastResponse(protocol, None, None), b""
        for piece in pieces:
            protocol.on_body(piece)
        assert len(protocol.body) == len(pieces)

    assert is_linear(read, drip) == ""


def test_what_a_slow_child_has_not_read_is_not_copied_each_time_it_reads(monkeypatch):
    """60 MiB that wait for a child which reads 4 KiB at a time were copied 15,000 times."""

    class Loop:
        def add_writer(self, *args): ...
        def remove_writer(self, *args): ...

    def write(line: bytes) -> None:
        process = Process.__new__(Process)
        process._stdin, process._loop, process._unsent, process._room = 1, Loop(), deque([line[:1000]] * (len(line) // 1000)), []
        process._is_blocked, process.backlog = False, len(line) // 1000 * 1000
        process._lines, process._hold = Lines(1000), Reservation(Budget(), "")
        while process._unsent:
            process._flush()
        assert process.backlog == 0

    monkeypatch.setattr("bridge.child.process.os.write", lambda fd, data: min(len(data), 64))
    assert is_linear(write, lambda size: b"x" * size) == ""


def test_a_line_that_comes_byte_by_byte_is_not_copied_at_each_of_them():
    assert is_linear(read_lines, drip) == ""


# -- names, headers, resources -----------------------------------------------------------------------------------------------------


def read_frames(pieces: list[bytes]) -> None:
    lines = Lines(1 << 30)
    for piece in (b"Content-Length: %d\r\n\r\n{" % (len(pieces) + 1), *pieces):
        found = lines.feed(piece)
    assert len(found[0][0]) == len(pieces) + 1


def test_a_message_behind_its_length_that_comes_byte_by_byte_is_not_copied_either():
    assert is_linear(read_frames, drip) == ""


@pytest.mark.parametrize("pattern", ["*a*a*a*a*b", "*a*aa*aaa*", "a*" * 20 + "b", "*" * 50 + "b"])
def test_a_pattern_does_not_try_every_way_to_divide_a_name(pattern):
    """`--tool-deny '*a*a*a*a*b'` against 256 times `a` took 25 s."""
    assert is_linear(Pattern(pattern).fits, lambda size: "a" * (size // pattern.count("*"))) == ""


def test_headers_that_come_twice_are_found_in_one_look():
    """20,000 of them were compared with each other, before anybody looked at a token."""
    assert is_linear(header_rules.duplicate_headers, lambda size: [(b"x%d" % (number // 2), b"") for number in range(size // 16)]) == ""


@pytest.mark.parametrize("uri", ["/" * 8192, "#" * 8192, "x:" + "a" * 4000 + "/" * 4000])
def test_the_parts_of_a_resource_are_not_copied_out_at_each_of_its_signs(uri):
    """A child that wrote 8 KB kept everybody waiting for a fifth of a second."""
    assert sum(map(len, subscriptions.wholes(uri))) < 2 * (subscriptions.PARTS + 1) * len(uri)


@pytest.mark.parametrize("notice", ["tools/list_changed", "resources/updated", "message", "x"])
def test_a_flood_of_news_for_many_sessions_does_not_keep_everybody_waiting(notice):
    """64 KB of them for a thousand sessions took 15 seconds. Of what has to be known the last one is told all the same."""
    world, sessions = World(), 1000
    streams = [Outbox() for _ in range(sessions)]
    for stream in streams:
        world.session(stream).subscriptions.add("x")
    for number in range(1000):
        world.notice(notice, uri="x", number=number)

    assert sum(len(stream.raw) for stream in streams) <= 2 * sessions
    if notice in ("tools/list_changed", "resources/updated"):
        world.sweep(1)
        assert {stream.messages[-1]["params"]["number"] for stream in streams} == {999}
    else:
        assert world.counts.drops["flood"] == 998


def test_the_holders_of_a_resource_are_found_without_a_look_at_all_that_they_hold():
    class Holder:
        subscriptions = {f"file:///a/{number}" for number in range(1000)}

    sessions = [Holder() for _ in range(1000)]

    assert (
        seconds(lambda uri: subscriptions.holders(sessions, uri), "file:///a/5/6")
        < seconds(lambda uri: [one for one in sessions for whole in one.subscriptions if uri == whole], "file:///a/5/6") / 20
    )


def test_each_of_many_subscriptions_does_not_tell_a_modern_server_all_of_them_again():
    """With 100,000 of them each one took 0.2 s, and 2 MB of the server's input."""
    world = World(era="modern")
    sessions = [world.session() for _ in range(20)]
    for session in sessions:
        session.subscriptions.update(f"file:///{session.nonce}/{number}" for number in range(500))
    world.sent()
    outboxes = [world.request(session, "resources/subscribe", {"uri": f"x:{number}"}, id=number) for number, session in enumerate(sessions)]
    first = [line for line in world.sent() if line["method"] == "subscriptions/listen"]
    world.sweep(1)
    last = [line for line in world.sent() if line["method"] == "subscriptions/listen"]

    assert len(first) == len(last) == 1
    assert {f"x:{number}" for number in range(20)} < set(last[0]["params"]["notifications"]["resourceSubscriptions"])
    assert not any(outbox.refusal for outbox in outboxes)
