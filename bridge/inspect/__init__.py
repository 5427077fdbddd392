"""`mcp-bridge inspect`: what does this server offer, and does it offer the same on every transport?

    plan.py       the arguments, turned into endpoints of the server (pure)
    connect.py    an endpoint, turned into an open connection that takes raw requests, or into the reason why not
    websocket.py  the one transport that the official SDK has no client for
    survey.py     everything a server says about itself, and where two transports disagree
    show.py       that, for people
    openai.py     its tools, for OpenAI

Only this file is imported with the command line; the SDK (half a second, 65 MB) is imported when the command runs.
"""

import argparse

TRANSPORTS = ("streamable-http", "sse", "websocket", "stdio")
ERAS = ("auto", "legacy", "modern", "both")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="a base (http://host:8000: every transport offered is tried) or one endpoint (…/mcp, …/sse, ws://…/ws); "
        "or none, and a command after --",
    )
    parser.add_argument("--call", nargs=2, metavar=("TOOL", "JSON"), help="call a tool and print what it answers")
    parser.add_argument("--expect", default="", metavar="TEXT", help="with --call: fail unless TEXT stands in the answer")
    parser.add_argument("--json", action="store_true", help="print one JSON object with everything, as the server said it")
    parser.add_argument("--openai", action="store_true", help="print the tools as OpenAI function definitions")
    parser.add_argument("--transport", choices=TRANSPORTS, help="use this one only")
    parser.add_argument(
        "--era",
        choices=ERAS,
        default="auto",
        help="legacy: with a handshake (to 2025-11-25); modern: without (2026-07-28); both: one after the other, and "
        "compared; auto: modern only where the handshake is refused",
    )
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="send it (repeatable)")
    parser.add_argument("--token-file", metavar="FILE", help="send its first line as the bearer token")
    parser.add_argument("--ca", metavar="FILE", help="trust certificates of this authority too, or this very certificate (PEM)")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="patience for each answer (default: 30)")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="for the command: set it, or pass it on from here; '*' passes everything on (repeatable)",
    )
    parser.add_argument("--cwd", metavar="DIR", help="for the command: where it starts")


def run(arguments: argparse.Namespace, command: list[str]) -> int:
    """0: it answered; 1: it did not, or a call failed; 2: the arguments make no sense."""
    from bridge.inspect import plan, report  # start-up time: the MCP SDK takes half a second, and --help needs none of it

    try:
        wish = plan.read(arguments, command)
    except plan.BadUsage as problem:
        report.complain(str(problem))
        return 2
    return report.run(wish)
