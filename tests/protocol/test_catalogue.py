"""The child's tool names: read page by page, bounded, and never more than one reading at a time."""

import json

import pytest
from msgspec import Raw

from bridge.protocol.catalogue import NAMES, PAGES, UNKNOWN, Catalogue
from bridge.protocol.envelope import Envelope


class Child:
    """Collects the questions; `answer` answers the oldest."""

    def __init__(self):
        self.asked = []
        self.catalogue = Catalogue()
        self.news = 0

    def read(self):
        self.catalogue.read(lambda params, outbox: self.asked.append((params, outbox)), self.changed)

    def changed(self):
        self.news += 1

    def answer(self, *names, cursor=None, raw=None):
        _, outbox = self.asked.pop(0)
        page = {"tools": [{"name": name, "inputSchema": {}} for name in names]} | ({"nextCursor": cursor} if cursor is not None else {})
        outbox.answer(Envelope(result=Raw(raw if raw is not None else json.dumps(page).encode())))

    @property
    def names(self):
        return sorted(self.catalogue.names.values())


@pytest.fixture
def child():
    child = Child()
    child.read()
    return child


def test_all_pages_are_read(child):
    child.answer("a", "b", cursor="é\"2")
    assert child.names == []
    assert [params for params, _ in child.asked] == ['{"cursor":"é\\"2"}'.encode()]
    child.answer("c")

    assert child.names == ["a", "b", "c"]
    assert child.asked == []


def test_a_label_is_one_of_the_childs_own_names(child):
    child.answer("a", "é")

    assert child.catalogue.label(Raw(b'"a"')) == "a"
    assert child.catalogue.label(Raw('"é"'.encode())) == "é"
    for unknown in (b'"b"', b"", b"5", b"null"):
        assert child.catalogue.label(Raw(unknown)) == UNKNOWN


def test_only_other_names_are_news(child):
    child.answer("a")
    child.read()
    child.answer("a")
    assert child.news == 0
    child.read()
    child.answer("b")

    assert child.news == 1


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b"[]", b'{"tools":5}', b'{"tools":[5]}', b'{"tools":[{"name":5}]}', b'{"tools":[],"nextCursor":5}', b"[" * 5000])
def test_what_is_no_list_changes_nothing(child, raw):
    child.answer("a")
    child.read()
    child.answer(raw=raw)

    assert child.names == ["a"]
    child.read()
    assert len(child.asked) == 1, "and the next reading begins"


def test_an_endless_list_ends(child):
    for page in range(PAGES):
        child.answer(f"t{page}", cursor="again")

    assert child.asked == []
    assert len(child.names) == PAGES


def test_names_are_bounded(child):
    child.answer(*(f"a{number}" for number in range(NAMES - 1)), cursor="x")
    child.answer(*(f"b{number}" for number in range(1000)))

    assert len(child.names) == NAMES


def test_a_reading_that_is_asked_for_during_another_follows_it_once(child):
    for _ in range(10):
        child.read()
    assert len(child.asked) == 1
    child.answer("old")
    assert len(child.asked) == 1
    child.answer("new")

    assert (child.asked, child.names, child.news) == ([], ["new"], 1)
