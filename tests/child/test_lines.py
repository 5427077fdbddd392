"""Chunks in, whole lines out, however the child cuts its output."""

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


texts = st.lists(st.binary(max_size=12) | st.sampled_from([b"", b"\r", b"\n", b"x" * 9, b"x" * 10, b"x" * 11, "é\u2028\u0085".encode()]), max_size=12).map(b"\n".join)


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

    assert feed(100, *(text[n:n + 1] for n in range(len(text)))) == ([text[:-1]], [])


@pytest.mark.parametrize("other", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_newline_ends_a_line(other):
    """str.splitlines would end it at each of these, which JSON strings may hold."""
    line = f"a{other}b".encode()

    assert feed(100, line + b"\n") == ([line], [])


def test_carriage_returns_stay_and_blank_lines_go():
    assert feed(100, b"a\r\n\n\nb\n") == ([b"a\r", b"b"], [])


def test_a_line_of_any_length_up_to_the_limit_passes():
    """Case 28: no 64 KiB limit."""
    line = b"x" * 200_000

    assert feed(200_000, line + b"\n") == ([line], [])
    assert feed(199_999, line + b"\n")[1][0][2] == 200_000


def test_after_a_long_line_the_next_one_is_fine():
    assert feed(5, b"x" * 4, b"x" * 4, b"x", b"\nab\n" + b"y" * 6 + b"\ncd", b"\n")[0] == [b"ab", b"cd"]


def test_a_line_that_never_ends_takes_no_memory():
    lines = Lines(1000)
    for _ in range(2000):
        lines.feed(b"x" * 1000)

    assert sum(map(len, lines._parts)) + len(lines._head) <= 2000 + 2 * HEAD
    assert lines.feed(b"\nok\n") == ([b"ok"], [(b"x" * HEAD, b"x" * HEAD, 2_000_000)])
