# Does the MCP gateway still answer? Its own health endpoints do not see that it hangs (LiteLLM 1.77 does for good after
# some failures), and Docker does not restart what is unhealthy: after three silences in a row this ends the container's
# processes (a hanging one does not end on SIGTERM), and the restart policy brings it back.
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

silences = Path("/tmp/silences")
hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "healthcheck", "version": "1"}}
request = urllib.request.Request(
    "http://127.0.0.1:4000/mcp/",
    json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode(),
    {"Authorization": "Bearer " + {{key}}, "Content-Type": "application/json",
     "Accept": "application/json, text/event-stream"})
try:
    urllib.request.urlopen(request, timeout=10).read(1)
except urllib.error.HTTPError as error:
    sys.exit(f"HTTP {error.code}")
except OSError as error:
    if "timed out" not in str(error):
        sys.exit(str(error))  # it starts, or it is gone: the container's end is seen anyway
    count = (len(silences.read_text()) if silences.exists() else 0) + 1
    silences.write_text("." * count)
    if count >= 3:
        silences.unlink()
        os.kill(-1, signal.SIGKILL)
    sys.exit(f"no answer in 10 s, {count} in a row")
silences.unlink(missing_ok=True)
