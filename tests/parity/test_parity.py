"""The official SDK clients, 1.x and 2.x, hold the same talk with a server over stdio and through the bridge: same results.

So do all four pairs of a client and a child of either era. The one talk is held with the zoo's echo directly, by a
handshake, and nobody else may see anything else: neither behind a bridge a client of the other era, nor one whose child
is of the other era (modern.py --like-echo).

Each SDK holds all of its talks in one process with a python of its own (talk.py); what they say is in talks.py.
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from environments import everything_sdk1, everything_sdk2, sdk1, sdk2, server
from support import Bridge, Modern, eventually, zoo
from talks import ASKING, ASKING_MODERN, ECHO, ECHO_MODERN, EVERYTHING, EVERYTHING_MODERN, REAL

pytestmark = pytest.mark.timeout(400)  # the first test waits for all talks

TALK = Path(__file__).with_name("talk.py")
PATIENCE = 150  # seconds for all the talks of one SDK
SERVERS = {
    "everything1": lambda: everything_sdk1().stdio,
    "everything2": lambda: everything_sdk2().stdio,
    "echo": lambda: zoo("echo", "--instructions", "Say it again."),
    "modern": lambda: zoo("modern", "--like-echo", "--instructions", "Say it again."),
    "asks": lambda: zoo("asks"),
    "npm": lambda: server("everything"),
}
ENDPOINTS = {"http": "/mcp", "sse": "/sse", "ws": "/ws", "modern": "/mcp", "only2026": "/mcp"}


@dataclass(frozen=True)
class Talk:
    """Held directly with one server, and through the bridge with another one or the same, in these ways."""

    name: str
    kinds: dict
    directly: str
    bridged: str
    ways: tuple[str, ...]
    direct_way: str = "stdio"


ONE, TWO = ("http", "sse", "ws"), ("http", "sse")  # 2.x has no client for WebSocket
NEW = ("modern", "only2026")
ASKING_TOOLS = ("sample", "elicit", "roots", "two_asks", "ping_client")
SDKS = {
    "sdk1": (sdk1, [
        Talk("everything1", EVERYTHING, "everything1", "everything1", ONE),
        Talk("echo", ECHO, "echo", "echo", ONE),
        Talk("asks", ASKING, "asks", "asks", ONE),
        Talk("echo with a modern child", ECHO, "echo", "modern", ONE),
    ]),
    "sdk2": (sdk2, [
        Talk("everything2", EVERYTHING, "everything2", "everything2", TWO),
        Talk("echo", ECHO, "echo", "echo", TWO),
        Talk("asks", ASKING, "asks", "asks", TWO),
        Talk("echo with a modern child", ECHO, "echo", "modern", TWO),
        Talk("everything2 without handshake", EVERYTHING_MODERN, "everything2", "everything2", NEW, "modern"),
        Talk("echo without handshake", ECHO_MODERN, "echo", "echo", NEW),
        Talk("echo without handshake, a modern child", ECHO_MODERN, "echo", "modern", NEW),
        Talk("asks without handshake", ASKING_MODERN, "asks", "asks", NEW),
        Talk("server-everything without handshake", REAL, "npm", "npm", ("only2026",)),
    ]),
}  # fmt: skip
CASES = [
    pytest.param(sdk, talk, kind, way, id=f"{sdk}-{talk.name}-{kind}-{way}")
    for sdk, (_, talks) in SDKS.items()
    for talk in talks
    for kind in talk.kinds
    for way in talk.ways
]


@pytest.fixture(scope="module")
def outcomes() -> dict:
    """{(sdk, talk, kind, way): [outcome…]}; under "directly" that of the direct talk."""
    with ThreadPoolExecutor(len(SDKS)) as side_by_side:
        return {key: outcome for held in side_by_side.map(hold, SDKS) for key, outcome in held.items()}


def hold(sdk: str) -> dict:
    """All talks of one SDK, with bridges of its own: two clients that call at once cannot both have a child's logs."""
    python, talks = SDKS[sdk]
    wanted = {}
    with ExitStack() as bridges:
        running = {}
        for talk in talks:
            if talk.bridged not in running:
                # Roots are withheld from a child unless the operator says otherwise.
                bridge = Bridge(SERVERS[talk.bridged](), "--client-roots", "relay", ready=False)
                running[talk.bridged] = bridges.enter_context(bridge)
            for kind, (can, steps) in talk.kinds.items():
                ways = {"directly": {talk.direct_way: SERVERS[talk.directly]()}}
                ways |= {way: {way: address(running[talk.bridged].url, way)} for way in talk.ways}
                for way, where in ways.items():
                    wanted[sdk, talk.name, kind, way] = {"way": where, "can": can, "steps": steps}
        for talk in talks:
            if set(talk.ways) & set(NEW):  # till then its first clients may be served by a child of the older era
                know_the_era(running[talk.bridged])
        held = subprocess.run(
            [python(), TALK],
            input=json.dumps({" ".join(key): talk for key, talk in wanted.items()}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert held.returncode == 0, held.stderr[-3000:]
    outcomes = json.loads(held.stdout)
    return {key: outcomes[" ".join(key)] for key in wanted}


def know_the_era(bridge: Bridge) -> None:
    def is_known() -> bool:
        [mcp] = bridge.status()["mcps"].values()
        return mcp["child_era"] != "unknown"

    eventually(lambda: bridge.ready()["code"] == 200, PATIENCE)
    with Modern(bridge.url, timeout=PATIENCE):
        eventually(is_known, PATIENCE)


def address(url: str, way: str) -> str:
    return (url.replace("http:", "ws:") if way == "ws" else url) + ENDPOINTS[way]


@pytest.mark.parametrize(("sdk", "talk", "kind", "way"), CASES)
def test_a_talk_through_the_bridge_has_the_results_of_the_direct_one(outcomes, sdk, talk, kind, way):
    steps = talk.kinds[kind][1]
    direct = outcomes[sdk, talk.name, kind, "directly"]
    bridged = outcomes[sdk, talk.name, kind, way]

    differences = {
        f"{number}: {step}": {"direct": directly, "bridged": through}
        for number, (step, directly, through) in enumerate(zip(steps, direct, bridged, strict=False))
        if normal(step, without_news(directly) if way in NEW else directly) != normal(step, through)
    }

    # Two that fail in the same way would be equal.
    assert [outcome for outcome in direct if "broken" in outcome or "raised" in outcome] == []
    assert len(direct) == len(bridged) == len(steps), bridged[-1]
    assert differences == {}


def normal(step: list, outcome: dict) -> dict:
    """Without what has to differ."""
    outcome = without_era(outcome)
    if step[1:2] and step[1] in ASKING_TOOLS:  # its answer is the client's whole message, with the id that the child gave it
        outcome = json.loads(re.sub(r'\\"id\\": \d+', "", json.dumps(outcome)))
    if step[0] == "cancel":
        return outcome | {"heard": [message for message in outcome["heard"] if not is_answer_to_nobody(message)]}
    if step[0] == "call_with_progress" and "result" in outcome:
        return without_token(step[1], outcome)
    return outcome


def without_news(outcome: dict) -> dict:
    """A client of 2026-07-28 hears only what it listens to."""
    return outcome | {"heard": [message for message in outcome["heard"] if not message.get("method", "").endswith("list_changed")]}


def without_era(outcome: dict) -> dict:
    """Without what a result says of itself in the newer era, and with its code for a resource that there is not."""
    outcome = json.loads(json.dumps(outcome))
    for result in (outcome.get("result"), (outcome.get("result") or {}).get("result") if isinstance(outcome.get("result"), dict) else None):
        if isinstance(result, dict):
            for member in ("resultType", "ttlMs", "cacheScope"):
                result.pop(member, None)
            meta = result.get("_meta") or {}
            meta.pop("io.modelcontextprotocol/serverInfo", None)
            if not meta:
                result.pop("_meta", None)
    if outcome.get("error", {}).get("code") == -32002:
        outcome["error"]["code"] = -32602
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
