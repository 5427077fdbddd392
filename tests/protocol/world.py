"""A relay with a child and clients that are plain lists: what tests of the rules are written in. No loop, no clock.

world = World()
one = world.session()
call = world.request(one, "tools/call", {"name": "x"}, id=1)   # an Outbox
line = world.sent()[-1]                                        # what the child got, as JSON
world.hear({"id": line["id"], "result": {}})                   # what the child says
assert call.answers == [{"jsonrpc": "2.0", "id": 1, "result": {}}]
"""

import itertools
import json

from bridge.counts import Counts
from bridge.failure import Failure
from bridge.log import Log
from bridge.protocol import envelope, spelling
from bridge.protocol.errors import Refusal
from bridge.protocol.policy import Policy
from bridge.protocol.profile import profile
from bridge.protocol.relay import Relay
from bridge.protocol.session import Sessions

ENVELOPE = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
KEYS = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates"}
ALL = {name: {"listChanged": True, "subscribe": True} for name in ("tools", "resources", "prompts")} | {"logging": {}}


class Outbox:
    """Collects. `is_open` says whether it can carry more than its answer."""

    def __init__(self, is_open=True, answers_cancelled=True):
        self.is_open = is_open
        self.answers_cancelled = answers_cancelled
        self.raw: list[bytes] = []
        self.raw_answers: list[bytes] = []
        self.waits = 0
        self.code = 0  # of an error, as the words of a modern client say it
        self.is_ended = False

    def end(self) -> None:
        self.is_ended = True

    def put(self, message: bytes) -> bool:
        if self.is_open:
            self.raw.append(message)
        return self.is_open

    def answer(self, message: bytes) -> None:
        self.raw_answers.append(message)

    def wait(self) -> None:
        self.waits += 1

    @property
    def messages(self) -> list:
        return [json.loads(message) for message in self.raw]

    @property
    def methods(self) -> list[str]:
        return [message["method"] for message in self.messages]

    @property
    def answers(self) -> list:
        return [json.loads(message) for message in self.raw_answers]

    @property
    def error(self) -> dict:
        (answer,) = self.answers
        return answer["error"]


class World:
    """`own` gives the child to the first session alone, `spare` to nobody yet. `capabilities` are the child's; it is open
    unless told otherwise. `beside` is a world with the same sessions, whose child is another one."""

    def __init__(
        self, *, own=False, spare=False, is_open=True, capabilities=ALL, profile_name="strict", beside=None, era="legacy", **policy
    ):
        self.now = beside.now if beside else 100.0
        self.lines: list[bytes] = []
        self.refused: list[str] = []
        self.opened = 0
        self.told_hung: list[Failure] = []
        self.told_learned = self.told_served = 0
        self.counts = beside.counts if beside else Counts()
        self.minted = beside.minted if beside else itertools.count(1)
        self.capabilities = capabilities
        self.sessions = beside.sessions if beside else Sessions("test", b"k" * 32, 1000, 0)
        self.owner = self.sessions.open("sse", self.now, own_child=True) if own else None
        policy = beside.relay.policy if beside else Policy(profile(profile_name, policy.get("tools"), policy.get("mcp", "")), **policy)
        self.relay = Relay(self, policy, self.counts, Log(), self.owner, private=own or spare, minted=self.minted, era=era)
        if own:
            self.relay.join(self.owner)
        if is_open:
            self.open()

    # -- what the relay needs of a child ------------------------------------------------------------------------------------

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def is_stuck(self) -> bool:
        return False

    def served(self) -> None:
        self.told_served += 1

    def learned(self) -> None:
        self.told_learned += 1

    def hung(self, why: Failure) -> None:
        self.told_hung.append(why)

    # -- the child ------------------------------------------------------------------------------------------------------

    def open(self, tools=(), **lists) -> list:
        """A new child runs and answers the handshake and the bridge's own questions; returns what else it got."""
        handshake = self.spawn()
        if self.relay.is_modern:
            stamp = {"io.modelcontextprotocol/serverInfo": {"name": "s"}}
            self.answer(handshake, {"supportedVersions": ["2026-07-28"], "capabilities": self.capabilities, "_meta": stamp})
        else:
            self.answer(handshake, {"protocolVersion": "2025-11-25", "capabilities": self.capabilities, "serverInfo": {"name": "s"}})
        return self.answer_own(tools, **lists)

    def spawn(self) -> dict:
        """A new child runs; returns the line that it has to answer first."""
        self.relay.open(b'{"protocolVersion":"2025-11-25"}', self.now, self._opened, self._refused)
        *_, handshake = self.sent()
        assert handshake["method"] == ("server/discover" if self.relay.is_modern else "initialize")
        return handshake

    def _opened(self, facts) -> None:
        self.opened += 1

    def _refused(self, why: Failure, code: int) -> None:
        self.refused.append(str(why))

    def answer_own(self, tools=(), **lists) -> list:
        """Answer the bridge's own questions for lists, which only its memory hears; returns the other lines.

        `tools` are names or whole tools; `lists` are the others by their key, such as `prompts=[…]`.
        """
        lists["tools"] = [tool if isinstance(tool, dict) else {"name": tool} for tool in tools]
        others = []
        while lines := self.sent():
            for line in lines:
                if line.get("method") in KEYS and set(line.get("params", {})) <= {"_meta"}:
                    key = KEYS[line["method"]]
                    self.answer(line, {key: lists.get(key, [])})
                else:
                    others.append(line)
        return others

    def sent(self) -> list:
        """What was written to the child since the last look."""
        lines, self.lines[:] = list(self.lines), []
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line for line in lines)
        return [json.loads(line) for line in lines]

    def hear(self, message) -> None:
        line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0"} | message).encode()
        self.relay.received(line, self.now)

    def answer(self, line: dict, result=None, **error) -> None:
        self.hear({"id": line["id"]} | ({"error": error} if error else {"result": result if result is not None else {}}))

    def notice(self, method: str, **params) -> None:
        self.hear({"method": f"notifications/{method}"} | ({"params": params} if params else {}))

    def die(self, why="the server process exited (code 3)", for_good=False) -> None:
        self.relay.lost(Failure(why), self.now, for_good=for_good)

    # -- clients -----------------------------------------------------------------------------------------------------------

    def session(self, stream: Outbox | None = None):
        session = self.sessions.open("sse", self.now)
        self.relay.join(session)
        if stream is not None:
            session.listen(stream)
        return session

    def request(self, session, method="tools/call", params=None, id=1, outbox=None) -> Outbox:
        """`params` and `id` may be raw JSON as bytes."""
        outbox = outbox or Outbox()
        raw_id = id if isinstance(id, bytes) else json.dumps(id).encode()
        raw = params if isinstance(params, bytes) else json.dumps(params).encode()
        body = b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (
            raw_id,
            json.dumps(method).encode(),
            b',"params":' + raw if params is not None else b"",
        )
        message = envelope.from_client(body)
        refusal = session.relay.request(session, message, spelling.params(message), outbox, self.now)
        outbox.refusal = refusal
        assert refusal is None or isinstance(refusal, Refusal)
        return outbox

    def call(self, caller, method="tools/call", params=None, id=1, outbox=None, meta=None, level="") -> Outbox:
        """A modern client's request, which has passed the header rules already."""
        outbox = outbox or Outbox()
        whole = {**(params or {}), "_meta": {**ENVELOPE, **(meta or {})}}
        message = envelope.from_client(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": whole}).encode())
        peeked = envelope.peek_modern(message.params)
        token = envelope.peek_meta(peeked.meta).progressToken
        outbox.exchange = self.relay.call(caller, message, peeked, token, level, outbox, self.now)
        return outbox

    def ask_child(self, session, *args, **kwargs) -> tuple[Outbox, dict]:
        """A request that must reach the child at once: its outbox and the child's line."""
        outbox = self.request(session, *args, **kwargs)
        (line,) = self.sent()
        return outbox, line

    def notify(self, session, method: str, **params) -> None:
        body = json.dumps({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}).encode()
        session.relay.notify(session, envelope.from_client(body), self.now)

    def respond(self, session, id, **member) -> bool:
        return self.relay.respond(session, envelope.from_client(json.dumps({"jsonrpc": "2.0", "id": id} | member).encode()), self.now)

    def leave(self, session) -> None:
        self.sessions.end(session)
        session.relay.leave(session, self.now)

    # -- time -----------------------------------------------------------------------------------------------------------------

    def sweep(self, after=0.0, keepalive=0.0) -> None:
        self.now += after
        self.relay.sweep(self.now, keepalive)
