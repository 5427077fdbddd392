"""A child's stderr: shown line by line, bounded in every direction, its last words kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.child.stderr import RATE, TAIL, WIDTH, Stderr


class Heard:
    def __init__(self):
        self.log = []
        self.count = 0
        self.stderr = Stderr(self.log.append, self.tick)

    def tick(self):
        self.count += 1


@pytest.fixture
def heard():
    return Heard()


def test_each_line_is_logged_when_it_is_whole(heard):
    for chunk in (b"one\ntw", b"o\r\n", b"thr"):
        heard.stderr.feed(chunk)
    assert heard.log == ["one", "two"]
    heard.stderr.end()
    heard.stderr.end()

    assert heard.log == ["one", "two", "thr"]
    assert heard.count == 3


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_in_any_chunks_make_the_same_lines(chunks):
    by_chunk, at_once = Heard(), Heard()
    for chunk in chunks:
        by_chunk.stderr.feed(chunk)
    at_once.stderr.feed(b"".join(chunks))
    for one in (by_chunk, at_once):
        one.stderr.end()

    assert by_chunk.log == at_once.log
    assert list(by_chunk.stderr.tail) == list(at_once.stderr.tail)


def test_what_is_no_utf8_is_shown_all_the_same(heard):
    heard.stderr.feed(b"bad \xff\xc3\n")

    assert heard.log == ["bad \ufffd\ufffd"]


def test_long_lines_are_shortened(heard):
    heard.stderr.feed(b"x" * 10_000 + b"\n")
    heard.stderr.feed("é".encode() * WIDTH + b"\n")

    assert heard.log == ["x" * WIDTH + "…", "é" * WIDTH]


def test_a_line_without_an_end_takes_no_memory(heard):
    """Edge case 30."""
    for _ in range(1000):
        heard.stderr.feed(b"e" * 10_000)

    assert len(heard.stderr._rest) <= 4 * WIDTH
    heard.stderr.feed(b"\nnext\n")
    assert len(heard.log[0]) == WIDTH + 1
    assert heard.log[1] == "next"


def test_a_flood_is_counted_but_not_logged(heard):
    heard.stderr.feed(b"x\n" * (RATE + 50))
    assert (len(heard.log), heard.count, heard.stderr.unlogged) == (RATE, RATE + 50, 50)
    heard.stderr.next_sweep()
    assert heard.log[-1] == "(50 more lines not shown)"
    heard.stderr.next_sweep()
    heard.stderr.feed(b"again\n")

    assert len(heard.log) == RATE + 2
    assert heard.log[-1] == "again"


def test_the_last_words_are_the_last_line_that_says_something(heard):
    heard.stderr.feed(b"Traceback\nKeyError: 'X'\n\n  \n")

    assert heard.stderr.last == "KeyError: 'X'"
    assert heard.log == ["Traceback", "KeyError: 'X'"]


def test_there_may_be_no_last_words(heard):
    heard.stderr.feed(b"\n\n")

    assert heard.stderr.last == ""


def test_only_the_tail_is_kept_even_in_a_flood(heard):
    heard.stderr.feed(b"".join(b"%d\n" % number for number in range(1000)))

    assert list(heard.stderr.tail) == [str(number) for number in range(1000 - TAIL, 1000)]


def test_the_last_words_are_those_of_this_process(heard):
    heard.stderr.feed(b"first\n  \nhalf")
    assert heard.stderr.last == "first"
    heard.stderr.begin()
    heard.stderr.feed(b"\n")

    assert heard.stderr.last == ""
    assert "first" in heard.stderr.tail
