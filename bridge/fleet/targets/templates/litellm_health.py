# Does the MCP gateway still answer? Its own health endpoints do not see that it hangs (LiteLLM 1.77 does for good after
# some failures), and Docker does not restart what is unhealthy: after three silences in a row this ends the container's
# processes (SIGTERM would not), and the restart policy brings it back.
import json, os, signal, sys, urllib.error, urllib.request
count = "/tmp/silences"
said = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "healthcheck", "version": "1"}}})
request = urllib.request.Request("http://127.0.0.1:4000/mcp/", said.encode(), {
    "Authorization": "Bearer " + os.environ["LITELLM_MASTER_KEY"], "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream"})
try:
    urllib.request.urlopen(request, timeout=5).read(1)
except urllib.error.HTTPError as error:
    sys.exit(f"HTTP {error.code}")
except OSError as error:
    if "timed out" not in str(error):
        sys.exit(str(error))
    silences = len(open(count).read()) + 1 if os.path.exists(count) else 1
    open(count, "a").write(".")
    if silences >= 3:
        os.remove(count)
        os.kill(-1, signal.SIGKILL)
    sys.exit(f"silent, {silences} in a row")
if os.path.exists(count):
    os.remove(count)
