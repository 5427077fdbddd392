"""What the tests run against: other SDKs, LiteLLM, real MCP servers, the conformance suite.

Each function makes its environment the first time and afterwards only says where it is; so a test may simply call
the one it needs, on a bare machine, also from several processes at once. All of it lives in one folder that can be
deleted at any time: ``$MCP_BRIDGE_TEST_CACHE``, or ``~/.cache/mcp-bridge-tests``.

    python -m environments all       # in tests/: make everything, one line each with the seconds it took
"""

from .authorization import authorization_server, authorizing
from .browser import playwright
from .clients import litellm_1773, litellm_newest, mcp_remote, promtool, sdk1, sdk2
from .packages import node22, npm, venv
from .servers import SERVERS, EverythingServer, everything_sdk1, everything_sdk2, server
from .suite import conformance_suite, conformance_suite_2

__all__ = [
    "SERVERS",
    "EverythingServer",
    "authorization_server",
    "authorizing",
    "conformance_suite",
    "conformance_suite_2",
    "everything_sdk1",
    "everything_sdk2",
    "litellm_1773",
    "litellm_newest",
    "mcp_remote",
    "node22",
    "npm",
    "playwright",
    "promtool",
    "sdk1",
    "sdk2",
    "server",
    "venv",
]
