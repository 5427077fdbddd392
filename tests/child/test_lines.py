"""Chunks in, whole lines out, however the child cuts its output."""

import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.child.lines import HEAD, Lines


def feed(limit: int, *chunks: bytes):
    """All lines, and (head, tail, size) of the long ones."""
    lines, out, long_ones = Lines(limit), [], []
    for chunk in chunks:
        some, too_long = lines.feed(chunk)
        out += some
        long_ones += too_long
    return out, long_ones


def cut(text: bytes, places) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


texts = st.lists(
    st.binary(max_size=12) | st.sampled_from([b"", b"\r", b"\n", b"x" * 9, b"x" * 10, b"x" * 11, "é\u2028\u0085".encode()]), max_size=12
).map(b"\n".join)


@given(texts, st.lists(st.integers(0, 200), max_size=12), st.integers(0, 15))
@example(b"a\nb", [1, 1, 2, 2], 10)
@example(b"x" * 11 + b"\n", [10], 10)
def test_any_chunking_gives_the_same_lines(text, places, limit):
    whole = text.split(b"\n")[:-1]
    expected = [line for line in whole if line and len(line) <= limit]
    too_long = [(line[:HEAD], line[-HEAD:], len(line)) for line in whole if len(line) > limit]

    lines, long_ones = feed(limit, *cut(text, places))
    assert lines == expected
    assert long_ones == too_long


@given(st.integers(1, 5000), st.lists(st.integers(0, 5000), max_size=8))
def test_the_two_ends_of_a_long_line_are_right_however_it_comes(size, places):
    line = bytes(number % 251 for number in range(size)).replace(b"\n", b".")
    _, long_ones = feed(0, *cut(line + b"\n", places))

    assert long_ones == [(line[:HEAD], line[-HEAD:], size)]


def test_a_line_is_whole_only_at_its_newline():
    assert feed(10, b"abc") == ([], [])
    assert feed(10, b"ab", b"c\nde") == ([b"abc"], [])
    assert feed(10, b"ab", b"c\nde", b"\n") == ([b"abc", b"de"], [])


def test_a_character_may_be_cut_in_two():
    text = "é😀\n".encode()

    assert feed(100, *(text[n : n + 1] for n in range(len(text)))) == ([text[:-1]], [])


@pytest.mark.parametrize("other", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_newline_ends_a_line(other):
    """str.splitlines would end it at each of these, which JSON strings may hold."""
    line = f"a{other}b".encode()

    assert feed(100, line + b"\n") == ([line], [])


def test_carriage_returns_stay_and_blank_lines_go():
    assert feed(100, b"a\r\n\n\nb\n") == ([b"a\r", b"b"], [])


def test_a_line_of_any_length_up_to_the_limit_passes():
    """Edge case 28: no 64 KiB limit."""
    line = b"x" * 200_000

    assert feed(200_000, line + b"\n") == ([line], [])
    assert feed(199_999, line + b"\n")[1][0][2] == 200_000


def test_after_a_long_line_the_next_one_is_fine():
    assert feed(5, b"x" * 4, b"x" * 4, b"x", b"\nab\n" + b"y" * 6 + b"\ncd", b"\n")[0] == [b"ab", b"cd"]


def test_a_line_that_never_ends_takes_no_memory():
    lines = Lines(1000)
    for _ in range(2000):
        lines.feed(b"x" * 1000)

    assert len(lines._begun) + len(lines._head) <= 2000 + 2 * HEAD
    assert lines.feed(b"\nok\n") == ([b"ok"], [(b"x" * HEAD, b"x" * HEAD, 2_000_000)])


# -- headers before messages, and ends of lines that are none


def headed(*messages: bytes) -> bytes:
    return b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(message), message) for message in messages)


TWO = [b'{"id":1,"text":"\xc3\xa9 Content-Length: 5"}', b'{\n  "id": 2\n}']
FRAMED = {  # where it comes from: what comes, what it is
    "as LSP has it": (headed(*TWO), [TWO[0], b'{   "id": 2 }']),
    "with a type": (headed(TWO[0]).replace(b"\r\n\r\n", b"\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n"), [TWO[0]]),
    "a type first, in small letters, without CR": (b"content-type: x\ncontent-length:%d\n\n" % len(TWO[0]) + TWO[0], [TWO[0]]),
    "with newlines between": (headed(TWO[0]) + b"\r\n" + headed(TWO[0]) + b"\n", [TWO[0], TWO[0]]),
    "a banner first": (b"hello\n" + headed(TWO[0]), [b"hello", TWO[0]]),
    "a line between": (headed(TWO[0]) + b"oops\n" + headed(TWO[0]), [TWO[0], b"oops", TWO[0]]),
    "a message on a line between": (headed(TWO[0]) + TWO[0] + b"\n" + headed(TWO[0]), [TWO[0], TWO[0], TWO[0]]),
    "a log of headers": (b"Content-Length: 5\nServer: x\n" + TWO[0] + b"\n", [b"Content-Length: 5", b"Server: x", TWO[0]]),
    "a header and no message": (
        b"Content-Length: 5\r\n\r\nhello there\n" + TWO[0] + b"\n",
        [b"Content-Length: 5 ", b"hello there", TWO[0]],
    ),
    "words like a header": (b"Content is king\nCats\n" + TWO[0] + b"\n", [b"Content is king", b"Cats", TWO[0]]),
}


@pytest.mark.parametrize("case", FRAMED)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_messages_behind_headers_are_found_however_they_are_cut(case, size):
    text, expected = FRAMED[case]
    lines, long_ones = feed(1000, *(text[start : start + size] for start in range(0, len(text), size)))

    assert [line for line in lines if line.strip()] == expected
    assert long_ones == []


def test_a_message_behind_a_header_that_is_too_long_is_told_by_its_ends():
    message = b'{"id":7,' + b" " * 5000 + b"}"
    lines, long_ones = feed(100, *cut(headed(message, b"{}"), [4000]))

    assert lines == [b"{}"]
    assert long_ones == [(message[:HEAD], message[-HEAD:], len(message))]


def test_lines_may_end_with_cr_alone():
    assert feed(100, b'{"a":1}\r', b'{"b":1}\r') == ([b'{"a":1}\r', b'{"b":1}\r'], [])
    assert feed(100, b'{"a":', b"1}\r") == ([b'{"a":1}\r'], [])
    assert feed(100, b'{"a":1}\r', b'\n{"b":1}\r\n') == ([b'{"a":1}\r', b'{"b":1}\r'], [])
    assert feed(100, b"10%\r", b"20%\r", b"done\n") == ([b"10%\r20%\rdone"], [])


def test_a_flood_behind_a_header_is_read_in_linear_time():
    lines = Lines(64 << 20)
    lines.feed(b"Content-Length: 2\r\n\r\n{}")
    begun = time.process_time()
    for _ in range(600):
        lines.feed(b"x" * 65536)
    lines.feed(b"\nContent-Length: 40000000\r\n\r\n{")
    for _ in range(600):
        lines.feed(b" " * 65536)

    assert time.process_time() - begun < 2  # seconds; each chunk joined to all before takes minutes
