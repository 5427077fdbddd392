"""The official SDK clients, 1.x and 2.x, hold the same talk with a server over stdio and through the bridge: same results.

Each SDK holds all of its talks in one process with a python of its own (talk.py); what they say is in talks.py.
"""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from environments import everything_sdk1, everything_sdk2, sdk1, sdk2
from support import Bridge, zoo
from talks import ASKING, ECHO, EVERYTHING

pytestmark = pytest.mark.timeout(240)  # the first test waits for all talks

TALK = Path(__file__).with_name("talk.py")
PATIENCE = 100  # seconds for all the talks of one SDK
SERVERS = {  # how to get one, and what is said to it
    "everything1": (lambda: everything_sdk1().stdio, EVERYTHING),
    "everything2": (lambda: everything_sdk2().stdio, EVERYTHING),
    "echo": (lambda: zoo("echo", "--instructions", "Say it again."), ECHO),
    "asks": (lambda: zoo("asks"), ASKING),
}
SDKS = {  # the ways of its clients through the bridge, and whom they talk to; 2.x has no client for WebSocket
    "sdk1": (sdk1, ("http", "sse", "ws"), ("everything1", "echo", "asks")),
    "sdk2": (sdk2, ("http", "sse", "auto"), ("everything2", "echo", "asks")),
}
ENDPOINTS = {"http": "/mcp", "auto": "/mcp", "sse": "/sse", "ws": "/ws"}
CASES = [
    (sdk, server, talk, way)
    for sdk, (_, ways, servers) in SDKS.items()
    for server in servers
    for talk in SERVERS[server][1]
    for way in ways
]


@pytest.fixture(scope="module")
def outcomes() -> dict:
    """{(sdk, server, talk, way): [outcome…]} with the way "stdio" for the direct talk."""
    with ThreadPoolExecutor(len(SDKS)) as side_by_side:
        return {key: outcome for held in side_by_side.map(hold, SDKS) for key, outcome in held.items()}


def hold(sdk: str) -> dict:
    """All talks of one SDK, with bridges of its own: two clients that call at once cannot both have a child's logs."""
    python, ways, servers = SDKS[sdk]
    talks = {}
    with ExitStack() as bridges:
        for server in servers:
            command, kinds = SERVERS[server][0](), SERVERS[server][1]
            # Roots are withheld from a child unless the operator says otherwise.
            bridge = bridges.enter_context(Bridge(command, "--client-roots", "relay", ready=False))
            connections = {"stdio": command} | {way: address(bridge.url, way) for way in ways}
            for talk, (can, steps) in kinds.items():
                for way, where in connections.items():
                    talks[sdk, server, talk, way] = {"way": {way: where}, "can": can, "steps": steps}
        held = subprocess.run(
            [python(), TALK],
            input=json.dumps({" ".join(key): talk for key, talk in talks.items()}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert held.returncode == 0, held.stderr[-3000:]
    outcomes = json.loads(held.stdout)
    return {key: outcomes[" ".join(key)] for key in talks}


def address(url: str, way: str) -> str:
    return (url.replace("http:", "ws:") if way == "ws" else url) + ENDPOINTS[way]


@pytest.mark.parametrize(("sdk", "server", "talk", "way"), CASES)
def test_a_talk_through_the_bridge_has_the_results_of_the_direct_one(outcomes, sdk, server, talk, way):
    steps = SERVERS[server][1][talk][1]
    direct = outcomes[sdk, server, talk, "stdio"]
    bridged = outcomes[sdk, server, talk, way]

    differences = {
        f"{number}: {step}": {"direct": directly, "bridged": through}
        for number, (step, directly, through) in enumerate(zip(steps, direct, bridged, strict=False))
        if normal(step, directly) != normal(step, through)
    }

    # Two that fail in the same way would be equal.
    assert [outcome for outcome in direct if "broken" in outcome or "raised" in outcome] == []
    assert len(direct) == len(bridged) == len(steps), bridged[-1]
    assert differences == {}


def normal(step: list, outcome: dict) -> dict:
    """Without what has to differ."""
    if step[0] == "cancel":
        return outcome | {"heard": [message for message in outcome["heard"] if not is_answer_to_nobody(message)]}
    if step[0] == "call_with_progress" and "result" in outcome:
        return without_token(step[1], outcome)
    return outcome


def is_answer_to_nobody(message: dict) -> bool:
    """The server does not answer a cancelled call, but an HTTP response has to end with something."""
    return "unknown request ID" in message.get("exception", "") and "cancelled" in message["exception"]


def without_token(tool: str, outcome: dict) -> dict:
    """The SDKs' progress tokens are the ids of their requests, and the bridge tells the server one of its own.

    That each client gets its own back shows in the progress that its SDK hands on.
    """
    text = json.dumps(outcome)
    for token in {message["params"]["progressToken"] for message in outcome["heard"]}:
        text = text.replace(f'"progressToken": {token},', "")
    if tool == "test_tool_with_progress":  # its answer is the token that it was given
        [content] = outcome["result"]["result"]["content"]
        text = text.replace(json.dumps(content["text"]), '"the token"')
    return json.loads(text)
