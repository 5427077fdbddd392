"""The official conformance suite's command, in two editions. Its results are read in conformance.py.

0.1 is what implementations are held against today; 0.2, not released yet, knows what each revision requires, the one of
2026-07-28 too, and holds every message against its schema.
"""

from .packages import npm
from .servers import node_command

PACKAGE = "@modelcontextprotocol/conformance"


def conformance_suite() -> list[str]:
    return node_command(npm("conformance", f"{PACKAGE}@0.1.16"), PACKAGE)


def conformance_suite_2() -> list[str]:
    return node_command(npm("conformance2", f"{PACKAGE}@0.2.0-alpha.12"), PACKAGE)
