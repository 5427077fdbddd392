"""Asks its client things, without looking at what the client can do, with ids from 0.

filesystem, everything, firecrawl, playwright and chrome-devtools ask for roots at start; many tools sample or
elicit. An unanswered ask keeps a TypeScript server alive for 60 s after the end of its input: --linger.

    --at-start   asks roots/list right after notifications/initialized
    --linger     lives for 60 s after the end of input while an ask is unanswered

Tools return the client's answer (the whole message) as text: sample, elicit, elicit_url, roots, ping_client,
ask {method, params}, two_asks (a JSON array of both), give_up {method} (asks, then cancels its ask), ask_later
{method, seconds} (answers the call first; the ask belongs to no call), answers (to asks of no call, so far),
url_required (error -32042), elicitation_complete {id}.
"""

import json
import os
import sys
import threading
import time

from base import Refusal
from echo import child

SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 10}
FORM = {"message": "name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
URL = {"mode": "url", "message": "log in", "url": "https://example.com/login", "elicitationId": "e-1"}
collected = []


def answer_to(method, params=None):
    return json.dumps(child.ask(method, params).get())


def collect(method, params=None):
    answer = child.ask(method, params)
    threading.Thread(target=lambda: collected.append(answer.get()), daemon=True).start()


@child.tool(slow=True)
def sample():
    return answer_to("sampling/createMessage", SAMPLE)


@child.tool(slow=True)
def elicit():
    return answer_to("elicitation/create", FORM)


@child.tool(slow=True)
def elicit_url():
    return answer_to("elicitation/create", URL)


@child.tool(slow=True)
def roots():
    return answer_to("roots/list")


@child.tool(slow=True)
def ping_client():
    return answer_to("ping")


@child.tool(slow=True)
def ask(method: str, params: dict | None = None):
    return answer_to(method, params)


@child.tool(slow=True)
def two_asks():
    both = child.ask("sampling/createMessage", SAMPLE), child.ask("elicitation/create", FORM)
    return json.dumps([answer.get() for answer in both])


@child.tool(slow=True)
def give_up(method: str = "sampling/createMessage"):
    child.ask(method, SAMPLE)
    id = max(child.asked)
    child.notify("notifications/cancelled", requestId=id, reason="changed my mind")
    return f"gave up {id}"


@child.tool
def ask_later(method: str, seconds: float = 0.1):
    params = SAMPLE if method == "sampling/createMessage" else FORM if method == "elicitation/create" else None
    threading.Timer(seconds, collect, [method, params]).start()
    return "later"


@child.tool
def answers():
    return json.dumps(collected)


@child.tool
def url_required():
    raise Refusal(-32042, "log in first", {"elicitations": [URL]})


@child.tool
def elicitation_complete(id: str = "e-1"):
    child.notify("notifications/elicitation/complete", elicitationId=id)
    return "told"


def ended():
    if "--linger" in sys.argv and child.asked:
        time.sleep(60)
    os._exit(0)


if "--at-start" in sys.argv:
    child.notices["notifications/initialized"] = lambda params: collect("roots/list")
child.ended = ended
child.run()
