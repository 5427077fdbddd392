"""The compose engine without Docker: what it makes of Docker's words and of the bridges' answers."""

import time

import pytest
from support import Bridge, zoo

from bridge.fleet.engines import Urls
from bridge.fleet.engines.compose import Compose
from bridge.fleet.project import Project


@pytest.fixture
def engine(tmp_path):
    said = []
    made = Compose(Project(tmp_path), said.append)
    made.said = said
    return made


def test_a_child_that_was_given_up_is_not_waited_for_and_its_reason_is_told(engine, monkeypatch):
    """/readyz knows at once what Docker's health check says after more than a minute."""
    monkeypatch.setattr(engine, "_containers", lambda: {"broken": ("starting", "Up 1 second (health: starting)")})
    with Bridge(zoo("dies_at_start"), "--name", "broken", "--max-restarts", 0, "--backoff-initial", "0.01", ready=False) as bridge:
        began = time.monotonic()
        engine._wait(["broken"], Urls(bridge.url, ""))

    assert time.monotonic() - began < 5
    [said] = [line for line in engine.said if not line.startswith("waiting")]
    assert said.startswith("broken: given up: ")
    assert "exited" in said
