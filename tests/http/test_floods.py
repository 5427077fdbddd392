"""Who asks too often is told so, and who goes on all the same is read later: to say no costs others as much as a call."""

import hashlib
import json
import time

import pytest
from support import Bridge, zoo
from wire import Connection

from bridge.http.request import LIMITED, REST

SLOW, FREE = "slow-0123456789-0123456789", "free-0123456789-0123456789"
MORE = 5  # than are answered as fast as they come


@pytest.fixture(params=["strict", "litellm"])
def bridge(request, tmp_path):
    callers = {
        name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "default": "execute", "limits": limits}
        for name, token, limits in (("slow", SLOW, {"requests": 0.01, "burst": 3}), ("free", FREE, {}))
    }
    (tmp_path / "callers").write_text(json.dumps({"callers": callers}))
    with Bridge(zoo("echo"), "--callers", tmp_path / "callers", "--profile", request.param) as bridge:
        yield bridge


@pytest.mark.parametrize("is_apart", [False, True], ids=["whole", "apart"])
def test_a_connection_whose_caller_asks_on_though_told_is_read_later(bridge, is_apart):
    with Connection(bridge.url, is_apart) as connection:
        session = connection.open(SLOW)
        connection.calls(SLOW, session, 2)
        began = time.monotonic()
        answers = []
        for _ in range(LIMITED + MORE):
            connection.calls(SLOW, session)
            answers.append(connection.last)

    assert time.monotonic() - began > (MORE - 1) * REST
    assert all(b"you may ask 0.01 times a second here" in answer for answer in answers)


def test_a_connection_that_is_read_later_is_read_to_its_end(bridge):
    with Connection(bridge.url) as connection:
        session = connection.open(SLOW)
        connection.calls(SLOW, session, LIMITED + MORE)

        assert connection.calls(FREE, connection.open(FREE), 3) == [200] * 3
