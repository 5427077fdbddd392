"""The official conformance suite's command. Its results are read in conformance.py."""

from .packages import npm
from .servers import node_command

PACKAGE = "@modelcontextprotocol/conformance"


def conformance_suite() -> list[str]:
    return node_command(npm("conformance", f"{PACKAGE}@0.1.16"), PACKAGE)
