"""A server of 2026-07-28 whose tools want something of the client first: input_required. It remembers nothing itself.

It asks only for what the client declared with the request; otherwise -32021, which names what is missing.

Tools: sample, elicit, elicit_url, roots, two (elicitation and sampling at once), rounds {count} (one question after
another, each with the state of the last), state_only {times} (nothing asked, only to be called again), stubborn (asks
for the same for ever), nothing (input_required without anything to do), stranger (asks for a method that there is not).
They return what they were answered as JSON, and the state as it came. Also the resource ask://resource and the prompt
`asking`, which want `elicit`'s answer.
"""

import json

from base import Refusal, text
from modern import NAMESPACE, child, start

FORM = {"mode": "form", "message": "name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
URL = {"mode": "url", "message": "log in", "url": "https://example.com/login"}
SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 10}
ASKS = {
    "sample": {"method": "sampling/createMessage", "params": SAMPLE},
    "elicit": {"method": "elicitation/create", "params": FORM},
    "elicit_url": {"method": "elicitation/create", "params": URL},
    "roots": {"method": "roots/list"},
}
NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}
TOKEN = 'opaque "state" \u2028 \U0001f600 '  # to be echoed exactly


def answers(params, *names, state=TOKEN):
    """The answers to these asks, or the result that asks for them."""
    declared = params["_meta"][NAMESPACE + "clientCapabilities"]
    for name in names:
        if (need := NEEDS[ASKS[name]["method"]]) not in declared:
            raise Refusal(-32021, f"this needs {need}", {"requiredCapabilities": {need: {}}})
    given = params.get("inputResponses") or {}
    if set(names) <= given.keys():
        return {"answers": given, "state": params.get("requestState")}, None
    asks = {"inputRequests": {name: ASKS[name] for name in names}} if names else {}
    return None, {"resultType": "input_required", "requestState": state} | asks


def asking(*names):
    def tool(call):
        given, asks = answers(call.params, *names)
        return asks or text(json.dumps(given))

    return tool


for name in ASKS:
    child.tool(asking(name), name=name)
child.tool(asking("elicit", "sample"), name="two")


@child.tool
def rounds(call, count: int = 3):
    done = int(call.params.get("requestState") or 0)
    if done and "elicit" not in (call.params.get("inputResponses") or {}):
        raise Refusal(-32602, "no answer to the last question")
    if done == count:
        return f"{done} rounds"
    form = {"method": "elicitation/create", "params": FORM | {"message": f"question {done + 1}"}}
    return {"resultType": "input_required", "inputRequests": {"elicit": form}, "requestState": str(done + 1)}


@child.tool
def state_only(call, times: int = 2):
    done = int(call.params.get("requestState") or 0)
    return f"{done} times" if done == times else {"resultType": "input_required", "requestState": str(done + 1)}


@child.tool
def stubborn(call):
    return answers(call.params | {"inputResponses": None}, "elicit")[1]


@child.tool
def nothing():
    return {"resultType": "input_required"}


@child.tool
def stranger():
    return {"resultType": "input_required", "inputRequests": {"x": {"method": "x-vendor/ask", "params": {}}}}


ordinary_resource, ordinary_prompt = child.methods["resources/read"], child.methods["prompts/get"]


def read_resource(params):
    if params["uri"] != "ask://resource":
        return ordinary_resource(params)
    given, asks = answers(params, "elicit")
    return asks or {"contents": [{"uri": params["uri"], "text": json.dumps(given)}]}


def get_prompt(params):
    if params["name"] != "asking":
        return ordinary_prompt(params)
    given, asks = answers(params, "elicit")
    return asks or {"messages": [{"role": "user", "content": {"type": "text", "text": json.dumps(given)}}]}


child.methods |= {"resources/read": read_resource, "prompts/get": get_prompt}
start()
