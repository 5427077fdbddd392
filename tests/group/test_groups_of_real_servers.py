"""Servers that people run, as one, by the official SDK's clients of both eras."""

import json
import subprocess

import pytest
from configs import config, entry
from environments import server
from environments.clients import sdk1, sdk2
from support import Bridge, eventually

CALLS = """
        result = [sorted(tool.name for tool in (await client.list_tools()).tools)]
        for name, arguments in CALLS:
            result.append((await client.call_tool(name, arguments)).content[0].text)
        resources = (await client.list_resources()).resources
        result.append(str((await client.read_resource(resources[0].uri)).contents[0].uri) == str(resources[0].uri))
        result.append([prompt.name for prompt in (await client.list_prompts()).prompts])
        result.append((await client.get_prompt("everything-args-prompt", {"city": "Bern"})).messages[0].content.text)
        print(json.dumps(result))

asyncio.run(main(sys.argv[1]))
"""
HEAD = """
import asyncio, json, sys
CALLS = [("time-get_current_time", {"timezone": "Asia/Tokyo"}), ("everything-get-sum", {"a": 2, "b": 40}), ("memory-read_graph", {})]
"""
OLD = (
    HEAD
    + """
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

async def main(url):
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as client:
        await client.initialize()
"""
    + CALLS
)
NEW = (
    HEAD
    + """
from mcp import Client

async def main(url):
    async with Client(url) as client:
        assert client.protocol_version == "2026-07-28"
"""
    + CALLS
)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    memory = {"env": {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")}, "max_in_flight": 1}
    mcps = {"time": entry(server("time")), "everything": entry(server("everything")), "memory": entry(server("memory"), **memory)}
    with Bridge(None, "--config", config(folder, **mcps), ready=False) as bridge:
        eventually(lambda: bridge.get("/all/readyz").json()["status"] == "ready", 60)
        yield bridge


@pytest.mark.parametrize("python, code", [(sdk1, OLD), (sdk2, NEW)], ids=["handshake", "modern"])
def test_the_official_sdk_uses_three_real_servers_as_one(bridge, python, code):
    ended = subprocess.run([str(python()), "-c", code, f"{bridge.url}/all/mcp"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    tools, now, total, graph, is_read, prompts, prompt = json.loads(ended.stdout)

    assert {"time-get_current_time", "everything-echo", "memory-read_graph"} <= set(tools)
    assert ('"timezone": "Asia/Tokyo"' in now, "42" in total, '"entities"' in graph, is_read) == (True, True, True, True)
    assert "everything-args-prompt" in prompts and "Bern" in prompt
