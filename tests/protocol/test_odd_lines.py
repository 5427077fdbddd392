r"""What children write that is not one JSON-RPC message a line: understood where it can mean only one thing.

Each case: where it comes from, the lines of the child (ID is that of the call under way), and what of it arrives: the text
of the call's result, methods of notices that the client hears, or nothing (the call still waits).
"""

import time

import pytest
from world import World

ANSWER = b'{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"fine"}]}}'
NOTICE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'
PRETTY = b'{\n  "jsonrpc": "2.0",\n  "id": ID,\n  "result": {\n    "content": [\n      {\n        "type": "text",\n        "text": "fi}ne {\\""\n      }\n    ]\n  }\n}'
LOG = b'{"level":30,"time":1,"pid":7,"hostname":"h","reqId":"r","id":ID,"msg":"request completed"}'
ASK = b'{"jsonrpc":"2.0","id":7,"method":"roots/list"}'
CASES = {
    # Understood
    "a byte order mark (.NET, PowerShell)": (b"\xef\xbb\xbf" + ANSWER, ["fine"]),
    "a byte order mark and CRLF": (b"\xef\xbb\xbf" + ANSWER + b"\r", ["fine"]),
    "UTF-16 with a mark (PowerShell's redirection)": ("\ufeff".encode("utf-16-le") + ANSWER.decode().encode("utf-16-le"), ["fine"]),
    "UTF-16, cut in the middle of its newline": (b"\0" + ANSWER.decode().encode("utf-16-le"), ["fine"]),
    "UTF-16, the other end first": ("\ufeff".encode("utf-16-be") + ANSWER.decode().encode("utf-16-be") + b"\0", ["fine"]),
    "null bytes around it (a C buffer's end)": (b"\0\0" + ANSWER + b"\0", ["fine"]),
    "a raw control character in a string": (ANSWER.replace(b"fine", b"fi\x01n\te"), ["fi\x01n\te"]),
    "a colour before it": (b"\x1b[32m" + ANSWER + b"\x1b[0m", ["fine"]),
    "coloured JSON": (ANSWER.replace(b'"fine"', b'\x1b[32m"fine"\x1b[39m').replace(b'"id"', b'\x1b[34;1m"id"\x1b[0m'), ["fine"]),
    "a window's title before it": (b"\x1b]0;npm exec\x07" + ANSWER, ["fine"]),
    "a cleared line before it (a spinner)": (b"\x1b[2K\x1b[1G\r" + ANSWER, ["fine"]),
    "a progress bar without an end before it": (b"Loading 100%\rdone " + ANSWER, ["fine"]),
    "a prompt before it": (b">>> " + ANSWER, ["fine"]),
    "something behind it": (ANSWER + b" ok", ["fine"]),
    "two messages on a line": (NOTICE + ANSWER, ["notifications/message", "fine"]),
    "two messages on a line with CR between them": (NOTICE + b"\r" + ANSWER + b"\r", ["notifications/message", "fine"]),
    "an array of messages (2025-03-26)": (b"[" + NOTICE + b"," + ANSWER + b"]", ["notifications/message", "fine"]),
    "an array with a message a line": (b"[\n" + NOTICE + b",\n" + ANSWER + b"\n]", ["notifications/message", "fine"]),
    "an array, printed prettily": (b"[\n" + NOTICE + b",\n" + PRETTY + b"\n]", ["notifications/message", 'fi}ne {"']),
    "pretty-printed (json.dumps(indent=2), a debugging switch)": (PRETTY, ['fi}ne {"']),
    "pretty-printed with CRLF": (PRETTY.replace(b"\n", b"\r\n"), ['fi}ne {"']),
    "pretty-printed with tabs": (PRETTY.replace(b"  ", b"\t"), ['fi}ne {"']),
    "pretty-printed without indent": (PRETTY.replace(b"  ", b""), ['fi}ne {"']),
    "pretty-printed after a brace that was none": (b"{\n" + PRETTY, ['fi}ne {"']),
    "a whole answer after a brace that was none": (b"{\n" + ANSWER, ["fine"]),
    "an id as a float (Lua, PHP, R)": (ANSWER.replace(b"ID", b"ID.0"), ["fine"]),
    "an id with an exponent": (ANSWER.replace(b"ID", b"IDe0"), ["fine"]),
    "an id as text": (ANSWER.replace(b"ID", b'"ID"'), ["fine"]),
    "an id as the text of a float": (ANSWER.replace(b"ID", b'"ID.0"'), ["fine"]),
    "no jsonrpc in an answer": (ANSWER.replace(b'"jsonrpc":"2.0",', b""), ["fine"]),
    "jsonrpc as a number": (ANSWER.replace(b'"2.0"', b"2.0"), ["fine"]),
    "no jsonrpc in a notice that MCP knows": (NOTICE.replace(b'"jsonrpc":"2.0",', b""), ["notifications/message"]),
    # Not taken for what they are not
    "a log record with the call's id (pino)": (LOG, []),
    "a log record with the call's id last": (b'{"level":30,"msg":"done","id":ID}', []),
    "a log record with an error (bunyan)": (b'{"name":"a","level":50,"id":ID,"error":"it broke","msg":"x"}', []),
    "a log record with an error object": (b'{"level":50,"id":ID,"error":{"code":5,"message":"it broke"},"msg":"x"}', []),
    "a log record with a result": (b'{"level":30,"id":ID,"result":{"content":[]},"msg":"answered"}', []),
    "a log record with a method (an HTTP log)": (b'{"level":30,"id":ID,"method":"GET","url":"/"}', []),
    "a log record over many lines": (b'{\n  "level": 30,\n  "id": ID,\n  "msg": "x"\n}', []),
    "a request of ours, logged": (b'-> {"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{}}', []),
    "a request to a client, logged": (b"sending " + ASK, []),
    "a notice, logged": (b"sent " + NOTICE, []),
    "an answer to somebody else": (b"> " + ANSWER.replace(b"ID", b"98765"), []),
    "an object of JavaScript": (b"{\n  name: 'x',\n  port: 3000\n}", []),
    "code": (b"function () {\n  return {\n  }\n}", []),
    "an id that is nearly it": (ANSWER.replace(b"ID", b"ID.5"), []),
    "an id with an endless exponent": (ANSWER.replace(b"ID", b"1e99"), []),
    "brackets": (b"[\n]\n{\n}\n[]\n{}", []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_child_is_understood_where_it_can_mean_only_one_thing(case):
    text, expected = CASES[case]
    world = World()
    outbox, line = world.ask_child(world.session())
    for part in text.replace(b"ID", str(line["id"]).encode()).split(b"\n") if b"\0" not in text else [_utf16(text, line["id"])]:
        world.hear(part)

    heard = outbox.methods + [answer["result"]["content"][0]["text"] for answer in outbox.answers]
    assert heard == expected
    assert not [line for line in world.sent() if line.get("error")]  # nothing was taken for a request


def _utf16(text: bytes, id: int) -> bytes:
    for codec in ("utf-16-le", "utf-16-be", "ascii"):
        text = text.replace("ID".encode(codec), str(id).encode(codec))
    return text


@pytest.mark.parametrize("rest", [b"", b"hello", b'"and": {'])
def test_a_call_whose_answer_begins_and_does_not_end_fails_within_seconds(rest):
    world = World()
    outbox, line = world.ask_child(world.session())
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":{' % line["id"])
    if rest:
        world.hear(rest)

    assert outbox.answers == []
    world.sweep(2)
    assert "does not end" in outbox.error["message"]


def test_what_has_begun_does_not_swallow_what_comes_whole():
    world = World()
    session = world.session()
    (one, first), (two, second) = world.ask_child(session, id=1), world.ask_child(session, id=2)
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":{' % first["id"])
    world.hear(ANSWER.replace(b"ID", str(second["id"]).encode()))

    assert two.answers[0]["result"]
    assert one.error
    world.hear(PRETTY.replace(b"ID", b"7").split(b"\n")[0])
    world.sweep(2)
    three, third = world.ask_child(session, id=3)
    world.hear(ANSWER.replace(b"ID", str(third["id"]).encode()))
    assert three.answers[0]["result"]


@pytest.mark.parametrize(
    "line",
    [
        b"{" * 1_000_000,
        b'{"id":' * 300_000,
        b'{"id":1,' * 200_000,
        b'"{' * 500_000,
        b"[{" * 500_000,
        b'{"a":"' + b"\\" * 1_000_001,
        b"\x1b[" * 500_000 + b"{",
        b"\x1b]" * 500_000 + b"{",
        b"{\0" * 500_000,
        b'{"x":1}' * 150_000,
    ],
)
def test_no_line_takes_long(line):
    world = World()
    begun = time.process_time()
    world.hear(line)
    world.hear(line)

    assert time.process_time() - begun < 3  # seconds that are far from quadratic
