"""A server of the handshake era with the fixtures that the conformance suite wants of one of 2026-07-28.

Its tools and its prompt really ask, in the middle of the call, where a server of 2026-07-28 would answer input_required.
So behind a bridge it shows what becomes of such a call. A question has a hint in its `_meta`, under which key the
suite wants to see it: mcp-bridge/key.

Tools and prompt by the suite's names: test_input_required_result_* (elicitation, sampling, list_roots, request_state,
multiple_inputs, multi_round, tampered_state, capabilities; as prompt: prompt), test_streaming_elicitation,
test_missing_capability, test_logging_tool, test_tool_with_progress, test_trigger_tool_change, test_trigger_prompt_change.
And echo's.
"""

import threading

from base import Refusal
from echo import LEVELS, child, configure

capabilities = {}  # what the client said at the handshake
ordinary_initialize, ordinary_prompt, ordinary_prompts = (child.methods[n] for n in ("initialize", "prompts/get", "prompts/list"))


def initialize(params):
    capabilities.update(params.get("capabilities") or {})
    return ordinary_initialize(params)


def elicitation(key, message, **properties):
    schema = {"type": "object", "properties": {n: {"type": t} for n, t in properties.items()}, "required": list(properties)}
    return key, "elicitation/create", {"message": message, "requestedSchema": schema}


def sampling(key, words, tokens):
    messages = [{"role": "user", "content": {"type": "text", "text": words}}]
    return key, "sampling/createMessage", {"messages": messages, "maxTokens": tokens}


ROOTS = ("client_roots", "roots/list", {})
NAME = elicitation("user_name", "What is your name?", name="string")
CONFIRM = elicitation("confirm", "Please confirm", ok="boolean")


def ask(*questions):
    """Asks all of them at once; returns the results in their order."""
    asked = [child.ask(method, params | {"_meta": {"mcp-bridge/key": key}}) for key, method, params in questions]
    return [taken(queue.get()) for queue in asked]


def taken(answer):
    if "error" in answer:
        raise Refusal(-32603, f"the client: {answer['error']['message']}")
    return answer["result"]


def field(answer, name):
    content = answer.get("content")
    if not isinstance(content, dict) or name not in content:
        raise Refusal(-32603, f"no {name} in the answer")
    return content[name]


def named(suffix):
    return child.tool(slow=True, name=f"test_input_required_result_{suffix}")


def fixture(function):
    return child.tool(function, slow=True, name=f"test_{function.__name__}")


@named("elicitation")
def ask_name():
    return f"Hello, {field(*ask(NAME), 'name')}!"


@named("sampling")
def ask_model():
    [answer] = ask(sampling("capital_question", "What is the capital of France?", 100))
    return f"Model said: {answer['content']['text']}"


@named("list_roots")
def ask_roots():
    [answer] = ask(ROOTS)
    return f"Client exposed {len(answer['roots'])} root(s)."


@named("request_state")
def confirmed():
    field(*ask(CONFIRM), "ok")
    return "state-ok: confirmation received"


@named("multiple_inputs")
def ask_all():
    ask(NAME, sampling("greeting", "Generate a greeting", 50), ROOTS)
    return "All inputs received."


@named("multi_round")
def ask_twice():
    name = field(*ask(elicitation("step1", "Step 1: What is your name?", name="string")), "name")
    color = field(*ask(elicitation("step2", "Step 2: What is your favorite color?", color="string")), "color")
    return f"{name} likes {color}."


@named("tampered_state")
def confirm_again():
    field(*ask(CONFIRM), "ok")
    return "state-ok"


@named("capabilities")
def ask_what_can_be_asked():
    can = {"sampling": sampling("sample", "Say hello", 50), "elicitation": NAME}
    ask(*(question for name, question in can.items() if name in capabilities))
    return "asked"


@fixture
def streaming_elicitation():
    ask(elicitation("answer", "The stateless streaming probe asks for a word", response="string"))
    return "asked"


@fixture
def missing_capability():
    """It has no other way to tell than to ask, and the client's refusal is its end."""
    ask(sampling("sample", "Say hello", 50))
    return "Client declared sampling capability; proceeding."


@fixture
def logging_tool():
    if child.log_level <= LEVELS.index("info"):
        child.notify("notifications/message", level="info", logger="fixture", data="test_logging_tool ran")
    return "logged"


@fixture
def tool_with_progress(call):
    for step in (0, 50, 100):
        call.progress(step, 100)
        threading.Event().wait(0.02)
    return "done"


@fixture
def trigger_tool_change():
    child.notify("notifications/tools/list_changed")
    return "tool list changed"


@fixture
def trigger_prompt_change():
    child.notify("notifications/prompts/list_changed")
    return "prompt list changed"


# A prompt that asks. Ordinary methods answer at once; this one waits, so it has a thread of its own.

PROMPT = "test_input_required_result_prompt"
ordinary_read = child.read


def read(message):
    params = message.get("params") or {}
    if message.get("method") == "prompts/get" and params.get("name") == PROMPT:
        threading.Thread(target=child.answer, args=(message["id"], ask_context), daemon=True).start()
    else:
        ordinary_read(message)


def ask_context():
    context = field(*ask(elicitation("user_context", "What context should the prompt use?", context="string")), "context")
    return {"messages": [{"role": "user", "content": {"type": "text", "text": f"Use the following context: {context}"}}]}


def list_prompts(params):
    return {"prompts": [*ordinary_prompts(params)["prompts"], {"name": PROMPT}]}


child.methods |= {"initialize": initialize, "prompts/list": list_prompts}
child.read = read
configure()
child.run()
