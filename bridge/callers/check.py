"""`mcp-bridge policy check FILE`: what each caller may do, as a table; with --url against what a running bridge lists.

    mcp-bridge policy check callers.yaml --as alice --url http://127.0.0.1:8000 --token-file admin-token

Rules that fit nothing that is listed are warned of: a typing mistake in a deny is an open door.
"""

import argparse
import getpass
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bridge.callers.caller import Caller
from bridge.callers.file import read
from bridge.callers.passwords import hashed
from bridge.callers.rules import Level, Rule
from bridge.printable import printable
from bridge.settings import UsageError

LISTS = (
    ("tool", "tools/list", "tools", "name"),
    ("prompt", "prompts/list", "prompts", "name"),
    ("resource", "resources/list", "resources", "uri"),
    ("resource", "resources/templates/list", "resourceTemplates", "uriTemplate"),
)
PAGES, PATIENCE = 100, 10.0
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
Item = tuple[str, str, str]  # an MCP, a kind and a name
Row = tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="print what callers may do, and warn of rules that fit nothing")
    check.add_argument("file", metavar="FILE", help="the callers file")
    check.add_argument("--as", dest="caller", metavar="CALLER", help="only this caller; '' is everybody without a key")
    check.add_argument("--mcp", metavar="NAME", help="only this MCP")
    check.add_argument(
        "--url", action="append", default=[], metavar="URL", help="a bridge that is up, whose lists are looked at; repeat it for more"
    )
    check.add_argument("--token-file", metavar="FILE", help="a token for it, of a caller that sees everything")
    check.set_defaults(policy=_check)
    password = commands.add_parser("password", help="print the line that stands for a password in a callers file")
    password.set_defaults(policy=_password)


def run(arguments: argparse.Namespace) -> int:
    """Raises UsageError."""
    return int(arguments.policy(arguments))


def _password(arguments: argparse.Namespace) -> int:
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if len(password) < 8:
        raise UsageError("a password needs at least 8 characters")
    print(hashed(password.encode()))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    found = read(arguments.file)
    callers = [*found.by_name.values(), found.everybody]
    if arguments.caller is not None:
        callers = [caller for caller in callers if caller.name == arguments.caller]
        if not callers:
            raise UsageError(f"{arguments.file}: no caller {arguments.caller!r}: there are {', '.join(found.by_name)}")
    items = [item for url in arguments.url for item in _listed(url, sent_token(arguments.token_file)) if arguments.mcp in (None, item[0])]
    rows: list[Row] = []
    for caller in callers:
        rows += _on(caller, items) if items else _rules(caller, arguments.mcp)
    _print((("CALLER", "MCP", "WHAT", "LEVEL", "RULE") if items else ("CALLER", "PATTERN", "LEVEL")), rows)
    warnings = list(_warnings(callers, items)) if items else []
    for warning in warnings:
        print(f"warning: {arguments.file}: {warning}", file=sys.stderr)
    if not arguments.url:
        print("give --url to see it for what a bridge lists", file=sys.stderr)
    return 1 if warnings else 0


def _rules(caller: Caller, mcp: str | None) -> Iterator[Row]:
    """The rules, the one that is asked first at the top."""
    rules = [rule for rule in caller.rules if mcp is None or rule.is_about(mcp)]
    for rule in sorted(rules, key=lambda rule: (rule.level is Level.DENY, rule.weight), reverse=True):
        yield _name(caller), rule.text, rule.level.word
    yield _name(caller), "(default)", caller.default.word


def _on(caller: Caller, items: Iterable[Item]) -> Iterator[Row]:
    for mcp, kind, name in items:
        decision = caller.on(mcp).decide(kind, name)
        yield _name(caller), mcp, name if kind == "tool" else f"{kind}:{name}", decision.level.word, decision.rule


def _warnings(callers: Iterable[Caller], items: list[Item]) -> Iterator[str]:
    for caller in callers:
        for rule in caller.rules:
            if not any(_fits(rule, *item) for item in items):
                yield f"{_name(caller)}: {rule} fits nothing that is listed"


def _fits(rule: Rule, mcp: str, kind: str, name: str) -> bool:
    return rule.is_about(mcp) and (rule.kind == "method" or rule.fits(kind, name))


def _name(caller: Caller) -> str:
    return caller.name or "(everybody)"


def _print(head: Row, rows: list[Row]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print(printable("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip().replace("\n", " ")))


# -- a bridge that is up --------------------------------------------------------------------------------------------------------


def sent_token(path: str | None) -> str:
    if path is None:
        return os.environ.get("MCP_BRIDGE_TOKEN", "")
    try:
        token = Path(path).read_text().split()[-1]
    except (OSError, IndexError) as error:
        raise UsageError(f"--token-file: {path}: {getattr(error, 'strerror', None) or 'no token in it'}") from None
    if token.lower().startswith("sha256:"):
        raise UsageError(f"--token-file: {path}: it holds a hash, and the bridge wants the token itself")
    return token


def _listed(url: str, token: str) -> Iterator[Item]:
    """All that a bridge's MCPs list. Raises UsageError."""
    import httpx2  # start-up time

    headers = HEADERS | ({"authorization": f"Bearer {token}"} if token else {})
    base = url.rstrip("/").removesuffix("/mcp")
    with httpx2.Client(headers=headers, timeout=PATIENCE) as http:
        try:
            mcps = _json(http.get(f"{base}/status.json"), base).get("mcps", {})
            is_single = len(mcps) == 1 and http.get(f"{base}/{next(iter(mcps))}/mcp").status_code == 404
            for name, status in mcps.items():
                if "pid" not in status:
                    print(
                        f"warning: {url}: {name}: the token's caller is no admin of it: what is hidden from it is not looked at",
                        file=sys.stderr,
                    )
                renamed = status.get("renamed", {})
                for kind, item in _of_mcp(http, f"{base}/mcp" if is_single else f"{base}/{name}/mcp"):
                    yield name, kind, renamed.get(item, item) if kind == "tool" else item
        except httpx2.HTTPError as error:
            raise UsageError(f"{url}: {error}: is a bridge up there?") from None


def _of_mcp(http: Any, endpoint: str) -> Iterator[tuple[str, str]]:
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "mcp-bridge policy", "version": "1"}}
    opened = http.post(endpoint, json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
    _json(opened, endpoint)
    session = {"mcp-session-id": opened.headers.get("mcp-session-id", "")}
    http.post(endpoint, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
    for kind, method, key, naming in LISTS:
        cursor, pages = None, 0
        while pages == 0 or (cursor and pages < PAGES):
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"cursor": cursor} if cursor else {}}
            result = _json(http.post(endpoint, json=message, headers=session), endpoint).get("result") or {}
            for item in result.get(key, ()):
                yield kind, str(item.get(naming, ""))
            cursor, pages = result.get("nextCursor"), pages + 1
    http.delete(endpoint, headers=session)


def _json(response: Any, url: str) -> dict[str, Any]:
    if response.status_code in (401, 403):
        raise UsageError(f"{url}: the token is not good there, or there is none: --token-file FILE, or MCP_BRIDGE_TOKEN")
    if response.status_code != 200:
        raise UsageError(f"{url}: {response.status_code}: {response.text[:200]}")
    try:
        answer = response.json()
    except ValueError:
        raise UsageError(f"{url}: no answer of a bridge") from None
    return answer if isinstance(answer, dict) else {}
