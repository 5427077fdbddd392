"""The battery of cases.py against the bridge. What is wrong with a peer is told by tests/bench/peers.py."""

import sys
from pathlib import Path

import pytest
from battery.cases import CASES
from support import Bridge

ODD = Path(__file__).with_name("odd_server.py")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_of_what_people_run_into(case):
    with Bridge([sys.executable, str(ODD), case.way], *case.options, ready=False) as bridge:
        case.right(bridge.url)
