"""A fleet with one MCP of every kind, and with everything that a stanza can say."""

from bridge.fleet import Fleet, Stanza

PYTHON = Stanza(
    name="clock",
    description="What time it is",
    pypi="mcp-server-time==1.0",
    command="mcp-server-time",
    smoke={"tool": "now", "arguments": {"zone": "UTC"}, "expect": "UTC"},
    litellm={"access_groups": "everyone"},
)
NODE = Stanza(
    name="notes",
    npm="@some/notes@1.2.3",
    command=["notes", "--file", "${NOTES:-/data/notes.json}"],
    env={"NOTES_FILE": "/data/$1/notes.json", "STRICT": True},
    volumes=["${NOTES_DIR:-notes-data}:/data", "./papers:/papers:ro"],
    bridge={"isolation": "shared", "max-in-flight": 1},
    tools={"allow": ["read_*"], "deny": "read_all", "rename": {"read_one": "look"}},
    smoke={"tool": "read_one"},
    litellm={"cost": {"default": 0.1, "tools": {"read_one": 0.5}}, "timeout": 30},
)
SECRETIVE = Stanza(
    name="git-host",
    binary={"npm": "git-host-linux-{arch}@2.0.0", "path": "bin/git-host-{arch}"},
    command="git-host serve",
    env={"HOST_URL": "${HOST_URL}"},
    secrets={"HOST_TOKEN": {"description": "from its settings"}, "HOST_KEY": {"as": "file", "optional": True}, "EXTRA": {"optional": True}},
    egress=True,
    smoke={"tool": "whoami", "build": False},
    limits={"memory": "1g", "pids": 64, "cpus": 0.5, "shm": "256m"},
)
WRAPPED = Stanza(
    name="wrapped", image="somebody/server:1", command="/server", cwd="/srv", volumes=["wrapped-data:/data"], smoke={"tool": "ping"}
)
COMMAND = Stanza(name="script", command="python3 /app/server.py", files="app", apt=["jq", "git"], tests_only=True)
QUERY = Stanza(name="query", pypi="query==1", python="3.11", command="query", needs=["database"], secrets=["DATABASE_URI"])
REMOTE = Stanza(
    name="far-away",
    description="Elsewhere",
    url="https://far.example/mcp",
    transport="http",
    auth={"type": "api_key", "value_env": "FAR_KEY"},
    tools={"allow": ["a"], "deny": ["b"]},
    litellm={"static_headers": {"X-Team": "os.environ/TEAM"}, "extra_headers": ["X-User"]},
)
FETCHED = Stanza(
    name="fetched",
    binary={"url": "https://example.org/server-{arch}.tar.gz", "sha256": {"arm64": "bb" * 32, "amd64": "aa" * 32}, "path": "dist/server"},
    command="server",
)
WHEEL = Stanza(name="wheel", binary={"pypi": "wheel-mcp==1", "path": "wheel_mcp/bin/wheel-{arch}"}, command="wheel")
BESIDE = Stanza(name="beside", binary={"file": "server-{arch}"}, command="server")

FLEET = Fleet(stanzas=[PYTHON, NODE, SECRETIVE, WRAPPED, COMMAND, QUERY, REMOTE, FETCHED, WHEEL, BESIDE])


def of(version: str = "1.77.3", *stanzas: Stanza, base=None) -> Fleet:
    return Fleet(stanzas=stanzas or FLEET.stanzas, litellm={"version": version, "base": base or {}})
