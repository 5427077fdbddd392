"""Exits with code 1 at the first line that is not exactly one valid JSON-RPC object, and says why on stderr.

Every server built on the Go SDK does (kubernetes-mcp-server, mcp-grafana): one bad line kills it for all its clients.
This one is stricter than Go: it also dies of what other SDKs never answer (TypeScript: params null, an unknown member,
ids above 2^53; Python: a params array; lines above 10 MiB). So a test that runs against it proves that the bridge
writes no such line.
"""

import json
import os
import re

from echo import child

LONGEST, DEEPEST = 10 << 20, 500


def take(line):
    if problem := fault(line):
        os.write(2, f"strict: {problem}: {line[:200]!r}\n".encode())
        os._exit(1)
    child.read(json.loads(line))


def fault(line):
    """What is wrong with the line, or None."""
    if not line.endswith(b"\n"):
        return "no newline at the end"
    if not line.strip():
        return "blank line"
    if len(line) > LONGEST:
        return "too long"
    if depth(line) > DEEPEST:
        return "nested too deep"
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=refuse_constant)
    except ValueError as problem:
        return f"not JSON ({problem})"
    if not isinstance(message, dict):
        return "not an object"
    if message.get("jsonrpc") != "2.0":
        return "no jsonrpc"
    return request_fault(message) if "method" in message else answer_fault(message)


def request_fault(message):
    if extra := message.keys() - {"jsonrpc", "id", "method", "params"}:
        return f"unknown members {sorted(extra)}"
    if not isinstance(message["method"], str):
        return "method is no string"
    if "id" in message and not (type(message["id"]) is int and 0 <= message["id"] < 2**53):
        return "id is no small integer"
    if "params" in message and not isinstance(message["params"], dict):
        return "params is no object"


def answer_fault(message):
    if message.keys() not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}):
        return "neither request nor answer"
    if message["id"] not in child.asked:
        return "an answer to nothing"
    if not isinstance(message.get("result", {}), dict):
        return "result is no object"
    error = message.get("error", {"code": 0, "message": ""})
    if not (isinstance(error, dict) and type(error.get("code")) is int and isinstance(error.get("message"), str)):
        return "error without code and message"


def depth(line):
    deepest = level = 0
    for bracket in re.findall(rb"[][{}]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def refuse_constant(name):
    raise ValueError(name)


@child.tool(slow=True)
def sample():
    asked = child.ask("sampling/createMessage", {"messages": [], "maxTokens": 1})
    return json.dumps(asked.get())


if __name__ == "__main__":
    child.take = take
    child.run()
