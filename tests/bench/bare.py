"""The measuring stick: what uvicorn can do at most, with the bridge's settings and no bridge in it.

Reads the body, returns a constant. The harness gives it the head and body of one real answer of the bridge,
so that both send the same bytes.
usage: bare.py PORT HEADERS-AS-JSON BODY
"""

import json
import sys

import uvicorn

port, headers, body = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3].encode()
START = {"type": "http.response.start", "status": 200, "headers": [(name.lower().encode(), value.encode()) for name, value in headers]}
BODY = {"type": "http.response.body", "body": body}


async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(BODY)


uvicorn.run(
    app,
    port=port,
    loop="uvloop",
    http="httptools",
    ws="none",
    lifespan="off",
    interface="asgi3",
    access_log=False,
    server_header=False,
    date_header=False,
    proxy_headers=False,
    log_level="warning",
)
