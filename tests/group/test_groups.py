"""Several MCPs at one address: what clients of each transport and era find there."""

import json

import pytest
from support import Bridge, Http, Modern, Sse, Ws, text, zoo


def entry(command: list[str], **more) -> dict:
    return {"command": command[0], "args": command[1:], **more}


def config(folder, groups=None, **mcps):
    file = folder / "mcps.json"
    file.write_text(json.dumps({"mcpServers": mcps, **({"groups": groups} if groups else {})}))
    return file


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    groups = {"short": {"mcps": ["one", "notify"], "prefix": "when-needed"}}
    mcps = {"one": entry(zoo("echo")), "notify": entry(zoo("notify")), "asks": entry(zoo("asks")), "new": entry(zoo("modern"))}
    with Bridge(None, "--config", config(tmp_path_factory.mktemp("groups"), groups, **mcps)) as bridge:
        yield bridge


@pytest.fixture(params=[Http, Sse, Ws, Modern])
def client(request, bridge):
    with request.param(f"{bridge.url}/all") as client:
        yield client


def names(answer, kind="tools"):
    return [item["name"] for item in answer["result"][kind]]


def test_one_address_lists_and_calls_the_tools_of_all_its_members(client):
    tools = names(client.request("tools/list"))

    assert {"one-echo", "notify-notify", "asks-sample", "new-echo"} <= set(tools)
    assert text(client.call("one-echo", message="hi")) == "hi"
    assert text(client.call("new-echo", message="ho")) == "ho"
