"""The hop through a model: it is told of the MCP's tools, calls one by itself, and gets the answer, all in /v1/responses.

Whether the tool was really called is asked of the bridge, which counts: a model can say anything.
"""

import json
import time

from bridge.fleet.ask import Http, NoResponse
from bridge.fleet.parts import Smoke
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify.counted import Counter
from bridge.fleet.verify.direct import seen_as
from bridge.fleet.verify.result import FAILED, OK, Hop, since

PATIENCE = 90.0


def call(stanza: Stanza, smoke: Smoke, url: str, key: str, model: str, http: Http, counter: Counter) -> Hop:
    """Let `model` make the stanza's smoke call."""
    began = time.monotonic()
    name = f"{stanza.litellm_name}-{seen_as(stanza, smoke)}"
    body = {
        "model": model,
        "input": f"Call the tool {name} with exactly these arguments, once, and repeat what it answers: {json.dumps(smoke.arguments)}",
        "tools": [
            {
                "type": "mcp",
                "server_label": stanza.litellm_name,
                "server_url": f"litellm_proxy/mcp/{stanza.litellm_name}",
                "require_approval": "never",
            }
        ],
    }
    before = counter.of(stanza)
    try:
        said = http.post(f"{url}/v1/responses", body, {"authorization": f"Bearer {key}"}, PATIENCE)
    except NoResponse as silence:
        return Hop("model", FAILED, f"/v1/responses: {silence}", "mcp-bridge logs litellm", since(began))
    if said.status != 200:
        return Hop(
            "model",
            FAILED,
            f"/v1/responses: {said.words}",
            f"is {model!r} in litellm/base.yaml, and does it take tools? mcp-bridge logs litellm",
            since(began),
        )
    after = counter.of(stanza)
    if before is not None and after is not None and after <= before:
        return Hop(
            "model",
            FAILED,
            f"{model} answered without calling {name}: {said.words[:200]}",
            "take a model that calls tools (mock_response never does)",
            since(began),
        )
    return Hop("model", OK, f"{model} called {name}", seconds=since(began))
