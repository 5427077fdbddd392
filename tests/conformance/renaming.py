"""A proxy for the conformance suite, which knows its fixtures by their own names: what it asks for goes to the member `a` of a group.

Names get `a-` on the way there and lose it on the way back, URIs `mcp-bridge://a/`; what lists have of another member is left out.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from environments.processes import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

NAME, URI = "a-", "mcp-bridge://a/"
LISTS = {"tools": ("name", NAME), "prompts": ("name", NAME), "resources": ("uri", URI), "resourceTemplates": ("uriTemplate", URI)}
OWN = ("content-length", "transfer-encoding", "connection")


@contextmanager
def renaming(url: str) -> Iterator[str]:
    client = httpx.AsyncClient(trust_env=False, timeout=60)

    async def pass_on(request: Request) -> Response:
        headers = [(name.decode(), value.strip(b" \t")) for name, value in request.headers.raw if name.decode() not in OWN]
        body, headers = asked(await request.body(), headers)
        sent = client.build_request(request.method, url, content=body or None, headers=headers)
        answer = await client.send(sent, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in OWN}
        if not kept.get("content-type", "").startswith("text/event-stream"):
            return Response(said(await answer.aread()), answer.status_code, kept)

        async def events():
            try:
                async for line in answer.aiter_lines():
                    yield (f"data: {said(line[6:].encode()).decode()}" if line.startswith("data: ") else line) + "\n"
            finally:
                await answer.aclose()

        return StreamingResponse(events(), answer.status_code, kept)

    app = Starlette(routes=[Route("/mcp", pass_on, methods=["GET", "POST", "DELETE"])])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


def asked(body: bytes, headers: list[tuple[str, bytes]]) -> tuple[bytes, list[tuple[str, bytes]]]:
    message = parsed(body)
    params = message.get("params") if isinstance(message.get("params"), dict) else {}
    method = message.get("method")
    before = ""
    if method in ("tools/call", "prompts/get"):
        before, member = NAME, "name"
    elif method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
        before, member = URI, "uri"
    elif method == "completion/complete" and isinstance(params.get("ref"), dict):
        ref = params["ref"]
        params["ref"] = {
            **ref,
            **({"name": NAME + ref["name"]} if "name" in ref else {}),
            **({"uri": URI + ref["uri"]} if "uri" in ref else {}),
        }
    elif method == "subscriptions/listen" and isinstance(params.get("notifications"), dict):
        wishes = params["notifications"]
        if "resourceSubscriptions" in wishes:
            wishes["resourceSubscriptions"] = [URI + uri for uri in wishes["resourceSubscriptions"]]
    else:
        return body, headers
    if before and isinstance(params.get(member), str):
        params[member] = before + params[member]
        headers = [(name, renamed(before.encode(), value) if name == "mcp-name" else value) for name, value in headers]
    return json.dumps(message).encode(), headers


def renamed(before: bytes, header: bytes) -> bytes:
    if not header.startswith(b"=?base64?"):
        return before + header
    try:
        text = before + base64.b64decode(header[9:-2], validate=True)
    except ValueError:
        return header  # which is what the suite wants to see refused
    return b"=?base64?%b?=" % base64.b64encode(text)


def said(body: bytes) -> bytes:
    message = parsed(body)
    result, params = message.get("result"), message.get("params")
    if isinstance(result, dict):
        for key, (naming, before) in LISTS.items():
            if isinstance(result.get(key), list):
                mine = [item for item in result[key] if item[naming].startswith(before)]
                result[key] = [{**item, naming: item[naming].removeprefix(before)} for item in mine]
    elif isinstance(params, dict) and message.get("method") == "notifications/resources/updated":
        params["uri"] = params["uri"].removeprefix(URI)
    elif isinstance(params, dict) and message.get("method") == "notifications/subscriptions/acknowledged":
        wishes = params["notifications"]
        if "resourceSubscriptions" in wishes:
            wishes["resourceSubscriptions"] = [uri.removeprefix(URI) for uri in wishes["resourceSubscriptions"]]
    else:
        return body
    return json.dumps(message).encode()


def parsed(body: bytes) -> dict:
    try:
        message = json.loads(body)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
