"""Exits at a request between its initialize answer and notifications/initialized, or before initialize: rmcp (Rust).

Deployed servers on rmcp below 3 do so, `server/discover` included; a ping before initialize is allowed.
"""

import os

from echo import child

stage = "new"  # -> answered -> open
ordinary_read = child.read


def read(message):
    global stage
    method = message.get("method")
    if stage == "new" and method == "initialize":
        stage = "answered"
    elif stage == "answered" and method == "notifications/initialized":
        stage = "open"
    elif stage != "open" and not (stage == "new" and method == "ping"):
        os.write(2, f"Error: ExpectedInitialize{'Request' if stage == 'new' else 'd'}, got {method}\n".encode())
        os._exit(1)
    ordinary_read(message)


child.read = read
child.run()
