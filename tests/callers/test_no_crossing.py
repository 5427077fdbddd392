"""No message of any kind reaches another caller: results, logs, progress, questions, updates, tasks, events that are resumed.

Three callers on every way in call tools whose every message bears the mark of who caused it, at once and in any order, and try what they can
with what is another's: its sessions, events, states, tasks, requests and questions.
"""

import hashlib
import itertools
import json
import re
import sys
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import CHILDREN, Bridge, Http, Modern, Refused, Sse, Ws, eventually

NAMES = ("alice", "bob", "carol")
TOKENS = {name: f"{name}-0123456789-0123456789" for name in NAMES}
MARK = re.compile(r"mark-(\w+)-\d+")
CHILD = """
import sys, threading
sys.path.insert(0, {folder!r})
import base
run, base.Child.run = base.Child.run, lambda self: None
from tasks import begin, child, text
base.Child.run = run


def after(seconds, method, **params):
    timer = threading.Timer(seconds, lambda: child.notify(method, **params))
    timer.daemon = True
    timer.start()


@child.tool
def say(mark: str):
    return mark

@child.tool(slow=True)
def log(mark: str, seconds: float = 0):
    after(seconds, "notifications/message", level="error", data=mark) if seconds else None
    child.notify("notifications/message", level="error", logger=mark, data=mark)
    return mark

@child.tool(slow=True)
def steps(mark: str, call):
    for step in (1, 2, 3):
        if call.token is not None:
            child.notify("notifications/progress", progressToken=call.token, progress=step, message=mark)
        call.cancelled.wait(0.01)
    return mark

@child.tool(slow=True)
def question(mark: str):
    message = {{"role": "user", "content": {{"type": "text", "text": mark}}}}
    answer = child.ask("sampling/createMessage", {{"messages": [message], "maxTokens": 1}}).get()
    return mark + " " + str(answer.get("result", answer))

@child.tool
def update(mark: str):
    child.notify("notifications/resources/updated", uri="test://" + mark)
    return mark

@child.tool(slow=True)
def vendor(mark: str):
    child.notify("notifications/x-vendor/news", said=mark)
    return mark

@child.tool
def blunder(mark: str):
    raise base.Refusal(-32000, mark, {{"said": mark}})

@child.tool(execution={{"taskSupport": "optional"}})
def work(mark: str = ""):
    return mark

child.methods["resources/read"] = lambda params: {{"contents": [{{"uri": params["uri"], "text": params["uri"]}}]}}
child.methods["prompts/get"] = lambda params: {{"messages": [{{"role": "user", "content": {{"type": "text", "text": str(params)}}}}]}}
child.methods["completion/complete"] = lambda params: {{"completion": {{"values": [params["argument"]["value"]]}}}}
child.run()
"""
MODES = {  # how children are shared, and what clients declare
    "shared": ((), {}),
    "own": ((), {"sampling": {}}),
    "principal": (("--isolation", "principal"), {"sampling": {}}),
    "litellm": (("--profile", "litellm"), {}),
}
TOOLS = ("say", "log", "steps", "question", "update", "vendor", "blunder", "work")
ACTIONS = (*TOOLS, "late", "read", "prompt", "complete", "subscribe", "task", "list tasks")
THEFTS = ("session", "connection", "event", "state", "task", "cancel", "answer", "delete")
MARKED = ("notifications/message", "notifications/progress", "notifications/resources/updated", "sampling/createMessage")
counter = itertools.count()


class Caller:
    """One client of a caller, and what it has got."""

    def __init__(self, name: str, kind: type, bridge: Bridge, capabilities: dict, stack: ExitStack):
        self.name, self.kind, self.got, self.pending = name, kind, [], []
        self.tasks, self.states, self.events, self.requests = [], [], [], []
        self.headers = {"authorization": f"Bearer {TOKENS[name]}"}
        more = {"on_ask": self.answer} if kind is not Modern else {}
        self.client = stack.enter_context(kind(bridge.url, headers=self.headers, capabilities=capabilities, info=self.info, **more))
        self.client.last_id = next(counter) * 100_000  # no id means something of two clients
        if kind is not Modern:
            self.client.request("logging/setLevel", {"level": "debug"})

    @property
    def info(self) -> dict:
        return {"name": f"mark-{self.name}-0", "version": "1"}

    @property
    def mark(self) -> str:
        return f"mark-{self.name}-{next(counter)}"

    def answer(self, method: str, params: dict) -> dict:
        self.got.append(json.dumps(params))
        return {"role": "assistant", "model": "m", "content": {"type": "text", "text": self.mark}}

    def do(self, action: str) -> None:
        mark, client = self.mark, self.client
        meta = {"_meta": {"progressToken": mark}} if self.kind is not Modern else {}
        if action in TOOLS:
            self.begin("tools/call", {"name": action, "arguments": {"mark": mark}} | meta)
        elif action == "late":
            self.begin("tools/call", {"name": "log", "arguments": {"mark": mark, "seconds": 0.05}})
        elif action == "read":
            self.begin("resources/read", {"uri": f"test://{mark}"})
        elif action == "prompt":
            self.begin("prompts/get", {"name": "greet", "arguments": {"who": mark}})
        elif action == "complete":
            self.begin("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": mark}})
        elif action == "subscribe" and self.kind is not Modern:
            client.request("resources/subscribe", {"uri": f"test://{mark}"})
            self.begin("tools/call", {"name": "update", "arguments": {"mark": mark}})
        elif action == "task" and self.kind is not Modern:
            answer = client.request("tools/call", {"name": "work", "arguments": {"mark": mark}, "task": {"ttl": 60000}})
            self.tasks += [task] if (task := answer.get("result", {}).get("task", {}).get("taskId")) else []
        elif action == "list tasks":
            answer = client.request("tasks/list")
            mine = {task for caller in self.everybody if caller.name == self.name for task in caller.tasks}
            assert {task["taskId"] for task in answer.get("result", {}).get("tasks", [])} <= mine or not self.shares_tasks, answer

    def begin(self, method: str, params: dict) -> None:
        with suppress(Refused):
            self.pending.append(self.client.begin(method, params))
            self.requests.append(self.client.last_id)

    def settle(self) -> None:
        """Wait for what is under way, and take note of it."""
        for future in self.pending:
            with suppress(Refused, ConnectionError):
                answer = future.result(20)
                self.got.append(json.dumps(answer))
                self.states += [state] if (state := answer.get("result", {}).get("requestState")) else []
        self.pending = []
        self.got += map(json.dumps, [*self.client.messages(0), *self.client.asked])

    def steal(self, what: str, other: "Caller") -> None:
        """Try it with what is another caller's."""
        client, theirs = self.client, other.client
        ping = {"jsonrpc": "2.0", "id": 999, "method": "ping"}
        if what == "session" and self.kind is Http and other.kind is Http:
            answer = client.post(ping, {"mcp-session-id": theirs.session})
            assert answer.status_code == 404 or self.is_lenient, answer.text
            self.got.append(answer.text)
        elif what == "delete" and self.kind is Http and other.kind is Http:
            client.delete({"mcp-session-id": theirs.session})
            assert "result" in theirs.request("ping")
        elif what == "connection" and self.kind is Sse and other.kind is Sse:
            posted = client.http.post(theirs.endpoint, json=ping, headers=self.headers)
            assert posted.status_code in (404, 403), posted.status_code
        elif what == "event" and self.kind is Http and other.kind is Http:
            message = {"jsonrpc": "2.0", "id": 998, "method": "tools/call", "params": {"name": "steps", "arguments": {"mark": other.mark}}}
            message["params"]["_meta"] = {"progressToken": "t"}
            with theirs.post_stream(message) as stream:
                list(stream.messages()) if stream.is_sse else stream.body
                ids = [event.id for event in stream.seen if event.id]
            for id in ids[:2]:
                for session in (client.session, theirs.session):
                    with client.get_stream(last_event_id=id, headers={"mcp-session-id": session}) as stolen:
                        stolen.wait_for_status(10)
                        self.got += [str(event) for event in stolen.seen]
        elif what == "state" and self.kind is Modern and other.states:
            answer = client.send(
                "tools/call", {"name": "question", "arguments": {}, "requestState": other.states[-1], "inputResponses": {}}
            )
            assert "result" not in answer.json(), answer.text
            self.got.append(answer.text)
        elif what == "task" and other.tasks:
            for method in ("tasks/get", "tasks/result", "tasks/cancel"):
                answer = client.request(method, {"taskId": other.tasks[-1]})
                assert "error" in answer or other.tasks[-1] in self.tasks or not self.shares_tasks, answer
                self.got.append(json.dumps(answer))
        elif what == "cancel" and other.requests and self.kind is not Modern:
            client.notify("notifications/cancelled", {"requestId": other.requests[-1]})
        elif what == "answer" and self.kind is not Modern:
            for id in range(3):
                client.deliver(
                    {"jsonrpc": "2.0", "id": id, "result": {"stolen": self.mark, "content": {"type": "text", "text": self.mark}}}
                )


STEPS = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from(ACTIONS) | st.sampled_from(THEFTS), st.integers(0, 11)), min_size=4, max_size=14
)


@pytest.mark.parametrize("mode", MODES)
def test_no_message_crosses_callers(mode, tmp_path):
    (tmp_path / "child.py").write_text(CHILD.format(folder=str(CHILDREN)))
    callers = {name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "default": "execute"} for name, token in TOKENS.items()}
    (tmp_path / "callers.json").write_text(json.dumps({"callers": callers}))
    options, capabilities = MODES[mode]
    with ExitStack() as stack:
        command = [sys.executable, tmp_path / "child.py"]
        options = ("--callers", tmp_path / "callers.json", "--max-children", "40", "--log-level", "debug", *options)
        bridge = stack.enter_context(Bridge(command, *options))
        everybody = [Caller(name, kind, bridge, capabilities, stack) for kind in (Http, Sse, Ws, Modern) for name in NAMES]
        for caller in everybody:
            caller.everybody, caller.is_lenient, caller.shares_tasks = everybody, mode == "litellm", mode == "shared"

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        @given(steps=STEPS)
        def run(steps):
            for who, what, whom in steps:
                caller, other = everybody[who], everybody[whom]
                if what in ACTIONS:
                    caller.do(what)
                elif caller.name != other.name:
                    caller.steal(what, other)
            for caller in everybody:
                caller.settle()
            check(everybody)

        run()
        for number, caller in enumerate(everybody):  # each action and each theft at least once, by everybody
            for what in ACTIONS:
                caller.do(what)
            for what in THEFTS:
                caller.steal(what, everybody[number // 3 * 3 + (number + 1) % 3])
        for caller in everybody:
            caller.settle()
        eventually(lambda: not any(caller.client.messages(0.2) for caller in everybody) or check(everybody))
        check(everybody)
        assert all(caller.got for caller in everybody)
        assert not bridge.logged("bug in the bridge")
        own = [caller for caller in everybody if caller.kind is not Modern]
        kinds = {method for method in MARKED if any(f'"{method}"' in said for caller in own for said in caller.got)}
        if mode == "own":  # or it would have proven nothing
            assert all(caller.tasks and caller.client.asked for caller in own) and kinds == set(MARKED)
            assert all(caller.states for caller in everybody if caller.kind is Modern)


def check(everybody: list[Caller]) -> None:
    for caller in everybody:
        caller.settle()
        for said in caller.got:
            assert set(MARK.findall(said)) <= {caller.name}, f"{caller.kind.__name__} of {caller.name} got {said[:600]}"
