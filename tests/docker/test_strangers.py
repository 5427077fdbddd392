"""Packages that nobody prepared for: added as a newcomer would, then run and verified as one fleet.

Each stands for a kind; none is in the catalog, and nothing in `bridge/` knows one by its name. The whole stanza that comes out is
compared, but for versions and descriptions, which are the package's own business, and for smoke calls that only the internet can prove.
"""

import re
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from checkouts import Operator, needs_docker, remove_images, troubles
from support import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PROJECT = f"mcp-strangers-{secrets.token_hex(3)}"

# name: what is said to `add`, what the stanza says beside `description` and `bridge`, and what is told
STRANGERS = {
    # npm, scoped, with `bin` as a path alone
    "eslint": (
        ["--npm", "@eslint/mcp@0.3.13"],
        {"npm": "@eslint/mcp@0.3.13", "command": "mcp", "egress": False},
        "its tools take paths (filePaths of lint-files)",
    ),
    # of the era before mcp 2, keeps a file where it is started
    "sqlite": (
        ["--pypi", "mcp-server-sqlite==2025.4.25"],
        {
            "pypi": "mcp-server-sqlite==2025.4.25",
            "constraints": ["mcp<2"],
            "command": "mcp-server-sqlite",
            "volumes": ["sqlite-data:/data"],
            "cwd": "/data",
            "egress": False,
            "smoke": {"tool": "read_query", "arguments": {"query": "SELECT 1"}, "build": False},
        },
        "works: read_query was called",
    ),
    # is told where to keep things, and asks the internet in some of its calls
    "arxiv": (
        ["--pypi", "arxiv-mcp-server==0.8.2", "--", "--storage-path", "/data/papers"],
        {
            "pypi": "arxiv-mcp-server==0.8.2",
            "command": "arxiv-mcp-server --storage-path /data/papers",
            "volumes": ["arxiv-data:/data"],
            "secrets": {"SEMANTIC_SCHOLAR_API_KEY": {"optional": True}},  # for its tools about citations
            "egress": True,
            "smoke": {"tool": "list_watches", "build": False},
        },
        " tried export.arxiv.org",
    ),
    # computes, and nothing else
    "calc": (
        ["--pypi", "mcp-server-calculator==0.2.1"],
        {
            "pypi": "mcp-server-calculator==0.2.1",
            "command": "mcp-server-calculator",
            "egress": False,
            "smoke": {"tool": "calculate", "arguments": {"expression": "1 + 1"}, "build": True},
        },
        "works: calculate was called",
    ),
    # needs the web, but no key
    "search": (
        ["--pypi", "duckduckgo-mcp-server==0.7.0"],
        {
            "pypi": "duckduckgo-mcp-server==0.7.0",
            "command": "duckduckgo-mcp-server",
            "secrets": {"DDG_REGION": {"optional": True}},  # its README explains it, its code reads it
            "egress": True,
        },
        "egress: true: its tool search tried html.duckduckgo.com",
    ),
    # ends without a key
    "brave": (
        ["--npm", "@brave/brave-search-mcp-server@2.1.4"],
        {
            "npm": "@brave/brave-search-mcp-server@2.1.4",
            "command": "brave-search-mcp-server",
            "secrets": {"BRAVE_API_KEY": {}, "BRAVE_MCP_DISABLED_TOOLS": {"optional": True}},
            "egress": True,
        },
        "compose/.env must say BRAVE_API_KEY",
    ),
    # ends without its database
    "redis-js": (
        ["--npm", "@modelcontextprotocol/server-redis@2025.4.25"],
        {"npm": "@modelcontextprotocol/server-redis@2025.4.25", "command": ["mcp-server-redis", "${REDIS_JS_URL}"], "egress": True},
        "compose/.env must say REDIS_JS_URL",
    ),
    # fetches what it runs when it is started
    "kanban": (
        ["--npm", "vibe-kanban@0.1.44", "--", "--mcp"],
        {"npm": "vibe-kanban@0.1.44", "command": "vibe-kanban --mcp", "egress": True},
        "but it fetches something from npm-cdn.vibekanban.com: let it run where it has that",
    ),
    # keeps a database where it is started
    "expense": (
        ["--pypi", "expense-mcp==1.0.1"],
        {
            "pypi": "expense-mcp==1.0.1",
            "command": "expense-mcp",
            "volumes": ["expense-data:/data"],
            "cwd": "/data",
            "egress": False,
            "smoke": {"tool": "expense_summary", "build": False},
        },
        "storage: expense-data:/data: at its start it wrote ./expenses.db",
    ),
    # is told where to keep things by a variable
    "bank": (
        ["--npm", "@allpepper/memory-bank-mcp@0.2.2"],
        {
            "npm": "@allpepper/memory-bank-mcp@0.2.2",
            "command": "mcp-server-memory-bank",
            "env": {"MEMORY_BANK_ROOT": "/data"},
            "volumes": ["bank-data:/data"],
            "egress": False,
            "smoke": {"tool": "list_projects", "build": False},
        },
        "its publisher sets MEMORY_BANK_ROOT: kept",
    ),
    # has a key that it starts without, and that its publisher would have everybody set
    "hub": (
        ["--npm", "@modelcontextprotocol/server-github@2025.4.8"],
        {
            "npm": "@modelcontextprotocol/server-github@2025.4.8",
            "command": "mcp-server-github",
            "secrets": {"GITHUB_PERSONAL_ACCESS_TOKEN": {}},
            "egress": True,
        },
        "compose/.env must say GITHUB_PERSONAL_ACCESS_TOKEN",
    ),
    # a command line tool that is a server, too
    "shadcn": (
        ["--npm", "shadcn@4.23.0", "--", "mcp"],
        {"npm": "shadcn@4.23.0", "command": "shadcn mcp", "egress": True, "smoke": {"tool": "get_project_registries", "build": True}},
        "works: get_project_registries was called",
    ),
    # an executable (Go) by npm, one package for each machine; ends without a cluster
    "kube": (
        ["--npm", "kubernetes-mcp-server@0.0.67"],
        {
            "npm": "kubernetes-mcp-server@0.0.67",
            "command": "kubernetes-mcp-server",
            "secrets": {"KUBECONFIG": {"as": "file"}},
            "egress": True,
        },
        "compose/secrets/ must have a file of that name: KUBECONFIG",
    ),
    # an executable (.NET) by npm; the server is a command of one of its commands, and its calls want an account
    "fabric": (
        ["--npm", "@microsoft/fabric-mcp@1.4.0"],
        {
            "npm": "@microsoft/fabric-mcp@1.4.0",
            "command": "fabmcp server start --mode all",
            "env": {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
            "secrets": {name: {"optional": True} for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")},
            "volumes": ["fabric-data:/data"],
            "cwd": "/data",
            "egress": True,
            "smoke": {"tool": "docs_list-item-types", "build": False},
        },
        "answers: docs_list-item-types was called, which asks nobody",
    ),
    # keeps what it is told in its home
    "tasks": (
        ["--npm", "@kazuph/mcp-taskmanager@1.1.1"],
        {
            "npm": "@kazuph/mcp-taskmanager@1.1.1",
            "command": "mcp-taskmanager",
            "env": {"HOME": "/data"},
            "volumes": ["tasks-data:/data"],
            "egress": False,
            "smoke": {"tool": "list_requests", "build": False},
        },
        "kept, not lost at the next start",
    ),
    # an executable (Rust) in a wheel
    "cnb": (
        ["--pypi", "cnb-rs-mcp==1.3.0"],
        {"pypi": "cnb-rs-mcp==1.3.0", "command": "cnb-rs-mcp", "egress": True},
        "egress: true: its tool cnb_list_groups tried api.cnb.cool",
    ),
    # drives a browser, which no package brings
    "chrome": (
        ["--npm", "chrome-devtools-mcp@1.11.0"],
        {
            "npm": "chrome-devtools-mcp@1.11.0",
            "apt": ["procps", "chromium-headless-shell"],
            "command": "chrome-devtools-mcp",
            "egress": True,
            "volumes": ["chrome-data:/data"],  # for the files that its tools were seen to look at
            "cwd": "/data",
            "limits": {"memory": "2g", "pids": 512, "shm": "512m"},
            "smoke": {"tool": "list_pages", "build": False},
        },
        "works: list_pages was called",
    ),
}
DEAD = {"redis-js", "kanban", "kube"}  # started, they would end; nothing but another stanza or the internet helps
DOES_WITHOUT = {"fabric"}  # its smoke call needs none of its optional secrets
ONLY_ONLINE = {"search", "kanban", "cnb", "hub"}  # with the internet a call of these is proved, too


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    needs_docker()
    operator = Operator(tmp_path_factory.mktemp("strangers"), PROJECT)
    try:
        yield operator
    finally:
        operator.run("down", "--volumes", code=None)
        remove_images(PROJECT)


@pytest.fixture(scope="module")
def added(operator) -> dict[str, str]:
    """What `add` told of each."""

    def add(name: str) -> str:
        said, *_ = STRANGERS[name]
        command = [sys.executable, "-m", "bridge", "add", "--project", str(operator.root), name, *said]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=operator.root)
        assert done.returncode == 0, done.stderr
        assert f"trying {name} in a container without network" in done.stderr
        return done.stdout

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(STRANGERS, pool.map(add, STRANGERS), strict=True))


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_added_has_a_stanza_that_says_all_that_can_be_known(operator, added, name):
    _, expected, told = STRANGERS[name]

    stanza = yaml.safe_load((operator.root / "images" / name / "stanza.yaml").read_text())

    assert told in added[name]
    assert stanza.pop("description") and stanza.pop("bridge")["isolation"] == ("principal" if "limits" in expected else "auto")
    if name in ONLY_ONLINE:
        stanza.pop("smoke", None)
    assert stanza == expected


def test_all_that_can_run_here_runs_and_is_verified_as_one_fleet(operator, added):
    runs = [name for name in STRANGERS if name not in DEAD and ("secrets" not in STRANGERS[name][1] or name in DOES_WITHOUT)]

    operator.run("up", "--engine", "compose", *runs, "--no-verify", patience=600)

    verdict = operator.verify(*runs)
    assert verdict["ok"], troubles(verdict)
    assert {report["name"] for report in verdict["mcps"]} == set(runs)


def test_the_bridge_knows_no_package_by_its_name():
    known = [package for _, stanza, _ in STRANGERS.values() for package in (stanza.get("npm") or stanza.get("pypi"),)]
    names = {re.split("==|(?<=.)@", package)[0] for package in known}
    code = {path: path.read_text() for path in (ROOT / "bridge").rglob("*.py")}

    assert [(path.name, name) for path, text in code.items() for name in names if name in text] == []
