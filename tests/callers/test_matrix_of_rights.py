"""Callers x MCPs x tools x levels x ways in x eras of children: everybody sees and does what the file says, and nothing else.

What should come out is said by `expected`, twenty lines that know the documentation and nothing of the bridge.
"""

import hashlib
import json
from fnmatch import fnmatchcase

import pytest
from support import Bridge, Http, Modern, Refused, Sse, Ws, zoo
from websockets.exceptions import InvalidStatus

MCPS = {  # name: the child, and options of its own
    "files": (zoo("echo"), {}),
    "database": (zoo("echo", "--pages", 3), {"profile": "litellm"}),
    "renamed": (zoo("echo"), {"tool_rename": ["echo=say"]}),
    "own": (zoo("echo"), {"isolation": "principal"}),
    "modern": (zoo("modern"), {}),
}
RULES: dict[str, dict] = {
    "everything": {"may": {"*/*": "execute"}},
    "reader": {"default": "read"},
    "seed": {"may": {"files/echo": "execute", "database/*": "execute", "*/p*": "deny"}},
    "careful": {"default": "read", "may": {"*/echo": "execute", "database/echo": "deny", "own/*": "deny", "files/resource:*two": "deny"}},
    "by-kind": {"may": {"*/tool:*": "read", "*/tool:a*": "execute", "*/prompt:*": "read", "modern/*": "admin", "database/tool:*": "deny"}},
    "levels": {"may": {"files/*": "admin", "files/e*": "read", "files/ec*": "execute", "*/resource:test://*": "read", "d*/add": "execute"}},
    "boss": {"may": {"*/*": "admin", "renamed/*": "deny", "*/fail": "deny"}},
    "nothing": {"may": {"elsewhere/*": "execute"}},
}
TOKENS = {name: f"{name}-0123456789-0123456789" for name in RULES}
WAYS = {"http": Http, "sse": Sse, "ws": Ws, "modern": Modern}
CALLS = {"echo": {"message": "hi"}, "add": {"a": 1, "b": 2}, "pid": {}, "fail": {}, "unicode": {}, "nowhere": {}}
LISTS = {
    "tool": ("tools/list", "tools", "name"),
    "prompt": ("prompts/list", "prompts", "name"),
    "resource": ("resources/list", "resources", "uri"),
}
RANKS = ("deny", "read", "execute", "admin")


# -- the oracle -----------------------------------------------------------------------------------------------------------------


def expected(rights: dict, mcp: str, kind: str, name: str) -> str:
    """docs/callers.md, "Which rule decides"."""
    fitting = [(pattern, level) for pattern, level in rights.get("may", {}).items() if is_about(pattern, mcp, kind, name)]
    if "deny" in (levels := [level for _, level in fitting]):
        return "deny"
    if not levels:
        return rights.get("default", "deny")
    return max(fitting, key=lambda rule: (specific(rule[0]), -RANKS.index(rule[1])))[1]


def is_about(pattern: str, mcp: str, kind: str, name: str) -> bool:
    left, _, right = pattern.partition("/")
    of, colon, rest = right.partition(":")
    if not colon:
        of, rest = "tool", right
    return fnmatchcase(mcp, left) and (right == "*" or (of == kind and fnmatchcase(name, rest)))


def specific(pattern: str) -> tuple:
    left, _, right = pattern.partition("/")
    bare = right.partition(":")[2] or right
    return ("*" not in left, len(left.replace("*", "")), "*" not in bare, right != "*", len(bare.replace("*", "")))


def is_hidden(rights: dict, mcp: str) -> bool:
    """Nothing of it is allowed, or all of it is denied."""
    about = [(pattern, level) for pattern, level in rights.get("may", {}).items() if fnmatchcase(mcp, pattern.partition("/")[0])]
    if any(level == "deny" and pattern.endswith("/*") and ":" not in pattern for pattern, level in about):
        return True
    return rights.get("default", "deny") == "deny" and all(level == "deny" for _, level in about)


# -- and the bridge ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    servers = {name: {"command": command[0], "args": command[1:]} | own for name, (command, own) in MCPS.items()}
    callers = [{"name": name, "token_sha256": digest(TOKENS[name]), **rights} for name, rights in RULES.items()]
    (folder / "mcps.json").write_text(json.dumps({"mcpServers": servers}))
    (folder / "callers.json").write_text(json.dumps({"callers": callers}))
    options = ("--config", folder / "mcps.json", "--callers", folder / "callers.json")
    with Bridge(None, *options, headers=headers("everything")) as bridge:
        yield bridge


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def headers(caller: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[caller]}"}


def shown(mcp: str, tool: str) -> str:
    return "say" if (mcp, tool) == ("renamed", "echo") else tool


def listed(client, kind: str) -> list[str]:
    method, member, name = LISTS[kind]
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        result = client.request(method, {"cursor": cursor} if cursor else {}).get("result", {})
        found += [item[name] for item in result.get(member, [])]
        cursor, pages = result.get("nextCursor"), pages + 1
    return sorted(found)


def level_of(answer: dict) -> str:
    """What a call's answer says of its caller's level; "execute" for whatever the server itself says."""
    said = json.dumps(answer)
    if "Unknown tool" in said:
        return "deny"
    return "read" if "calls need execute" in said else "execute"


def status_of_first_request(bridge, mcp: str, caller: str, way: str) -> int:
    """Of a way in whose client cannot even connect."""
    client = WAYS[way](f"{bridge.url}/{mcp}", headers=headers(caller))
    if way == "modern":
        return client.send("server/discover").status_code
    with pytest.raises((InvalidStatus, Refused)) as refused:
        client.open()
    return refused.value.response.status_code if way == "ws" else refused.value.status


@pytest.fixture(scope="module")
def every(bridge):
    """All that there is, by MCP and kind, as the servers list it."""
    found = {}
    for mcp in MCPS:
        with Http(f"{bridge.url}/{mcp}", headers=headers("everything"), listen=False) as client:
            found[mcp] = {kind: ["echo" if name == "say" else name for name in listed(client, kind)] for kind in LISTS}
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller", RULES)
def test_each_caller_sees_and_does_what_the_file_says(bridge, every, caller, way):
    wrong = []
    for mcp in MCPS:
        if is_hidden(RULES[caller], mcp):
            assert status_of_first_request(bridge, mcp, caller, way) == 404, mcp
            continue
        with WAYS[way](f"{bridge.url}/{mcp}", headers=headers(caller)) as client:
            for kind in LISTS:
                may = [name for name in every[mcp][kind] if expected(RULES[caller], mcp, kind, name) != "deny"]
                if listed(client, kind) != sorted(shown(mcp, name) for name in may):
                    wrong.append((mcp, kind, listed(client, kind), may))
            for tool, arguments in CALLS.items():
                should = expected(RULES[caller], mcp, "tool", tool)
                if tool == "nowhere" and should != "read":
                    should = "deny"  # it does not exist
                if tool not in every[mcp]["tool"] and tool != "nowhere":
                    continue
                found = level_of(client.call(shown(mcp, tool), **arguments))
                if found != should.replace("admin", "execute"):
                    wrong.append((mcp, tool, found, should))
            for uri in every[mcp]["resource"]:
                answer = client.request("resources/read", {"uri": uri})
                if ("error" in answer) != (expected(RULES[caller], mcp, "resource", uri) == "deny"):
                    wrong.append((mcp, uri, answer))
            for prompt in every[mcp]["prompt"]:
                answer = client.request("prompts/get", {"name": prompt})
                if ("error" in answer) != (expected(RULES[caller], mcp, "prompt", prompt) == "deny"):
                    wrong.append((mcp, prompt, answer))

    assert not wrong


def test_the_oracle_knows_the_seeds_answers():
    seed = {"may": {"filesystem/read_file": "execute", "database/*": "execute", "*/delete_*": "deny"}}
    said = [expected(seed, *tool) for tool in (("filesystem", "tool", "read_file"), ("filesystem", "tool", "write_file"))]

    assert said == ["execute", "deny"]
    assert [expected(seed, "database", "tool", name) for name in ("insert", "delete_rows")] == ["execute", "deny"]
