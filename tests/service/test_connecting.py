"""A session that a restarted bridge takes up again: its requests may come all at once, and share one new child."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from bent import processes, shown
from support import Bridge, Http, eventually, zoo

LIST = {"jsonrpc": "2.0", "method": "tools/list"}
OPTIONS = ("--isolation", "session", "--name", "same", "--max-children", "2")


@pytest.fixture
def old(tmp_path):
    """A client whose bridge has been stopped."""
    with Bridge(zoo("echo"), *OPTIONS, "--session-key-file", tmp_path / "key") as bridge:
        client = Http(bridge.url, listen=False)
        client.open()
    yield client
    client.close()


def test_many_first_requests_that_wait_for_a_child_get_one(old, tmp_path):
    with Bridge(zoo("echo"), *OPTIONS, "--session-key-file", tmp_path / "key") as bridge, ThreadPoolExecutor(6) as threads:
        holders = [Http(bridge.url, listen=False) for _ in range(2)]
        for holder in holders:
            holder.open()
        old.endpoint = f"{bridge.url}/mcp"
        answers = [threads.submit(old.post, LIST | {"id": id}, {"mcp-session-id": old.session}) for id in range(6)]
        eventually(lambda: shown(bridge)["waits"])
        for holder in holders:
            holder.close()

        assert [answer.result(20).status_code for answer in answers] == [200] * 6
        eventually(lambda: len(processes(bridge, "own")) == 1)


def test_a_session_that_ends_while_it_waits_for_its_child_leaves_none(old, tmp_path):
    with Bridge(zoo("echo"), *OPTIONS, "--session-key-file", tmp_path / "key") as bridge, ThreadPoolExecutor(2) as threads:
        holders = [Http(bridge.url, listen=False) for _ in range(2)]
        for holder in holders:
            holder.open()
        old.endpoint = f"{bridge.url}/mcp"
        ended = threads.submit(old.http.delete, old.endpoint, headers={"mcp-session-id": old.session})
        eventually(lambda: shown(bridge)["waits"])
        for holder in holders:
            holder.close()

        assert ended.result(20).status_code == 200
        eventually(lambda: not processes(bridge, "own"))
