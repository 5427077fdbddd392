"""The command line: which command, and what follows `--`. Each command imports what it needs when it runs."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from bridge import __version__, settings

FLEET = {
    "up": "start all MCPs of images/ with LiteLLM, and prove that they work",
    "down": "end what `up` started",
    "ps": "show what runs",
    "status": "show how MCPs are: state, calls, errors, latency, memory, last event",
    "logs": "print what MCPs, LiteLLM or all of them logged",
    "add": "write the stanza of a new MCP",
    "lock": "pin the packages of MCPs, with hashes",
    "render": "write the files that follow from the stanzas",
    "verify": "prove hop by hop that every MCP works",
    "approve": "say that the tools of MCPs are good as they are now",
    "lint": "say what is odd in the tools of all MCPs",
    "outdated": "say what is newer than what runs, how old it is, and what was taken back",
    "update": "try newer versions beside those that run, show how their tools differ, and switch to them",
    "rollback": "go back to the version of an MCP before its last update",
    "tools": "list the tools of all MCPs",
    "resources": "list the resources of all MCPs",
    "prompts": "list the prompts of all MCPs",
    "catalog": "list all MCPs that have a stanza, and what they need to start",
    "caller": "who may come in: add, list, rotate, remove",
    "connect": "print what to paste into a client, so that it reaches the MCPs",
    "secret": "the values that each caller has its own of: list, set, remove",
    "prune": "free what was built for this fleet and is not used",
    "backup": "save the fleet in one file: stanzas, what MCPs keep, the database",
    "restore": "make the fleet of a backup in this folder",
    "doctor": "look whether this machine has what the fleet needs",
}


TAKE_A_COMMAND = ("serve", "inspect", "add")
STARTERS = ("npx", "bunx", "pnpx", "uvx", "pipx", "docker", "podman")
OF_ADD = ("--npm", "--pypi", "--binary", "--image", "--command", "--url")  # what is called `docker` may come from there

_POLICY = "What callers may do, by the file that `serve --callers` reads."
_TOKEN = (
    "Make a token that nobody can guess. The line for a --token-file goes to standard output: it holds the token's hash, "
    "so whoever reads the file can open nothing with it. The token itself, which a client sends, goes to standard error."
)


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns its exit code: 2 for wrong usage, with one line that says what is wrong."""
    words = sys.argv[1:] if argv is None else argv
    own, command = _apart(words)
    parser = _parser(own[:1])
    arguments = parser.parse_args(own)
    try:
        return int(arguments.run(arguments, command))
    except settings.UsageError as error:
        print(f"mcp-bridge: {error}", file=sys.stderr)
        return 2


def _apart(words: list[str]) -> tuple[list[str], list[str]]:
    """Our own words, and a server's command: what stands behind `--`, or from the `npx` or `uvx` on of a line that is pasted without one."""
    if "--" in words:
        return words[: words.index("--")], words[words.index("--") + 1 :]
    for at, word in enumerate(words):
        is_one = word in STARTERS and words[0] in TAKE_A_COMMAND and not words[at - 1].startswith("--")
        if is_one and words[at + 1 :] and words[at + 1] not in OF_ADD:
            return words[:at], words[at:]
    return words, []


def _parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """Only the chosen commands say what they take: that may need imports."""
    parser = _OneLine(prog="mcp-bridge", description="Any stdio MCP server on the network, and a fleet of them behind LiteLLM.")
    parser.add_argument("--version", action="version", version=f"mcp-bridge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_OneLine)
    serve = commands.add_parser(
        "serve",
        help="serve a stdio MCP server over HTTP",
        usage="mcp-bridge serve [options] -- COMMAND ARGS…",
        description="Every option can also be given as the environment variable in brackets.",
    )
    if "serve" in chosen:
        settings.add_arguments(serve)
    serve.set_defaults(run=_serve)
    inspect = commands.add_parser("inspect", help="connect to an MCP server as a client and show what it offers")
    if "inspect" in chosen:
        from bridge.inspect import add_arguments  # start-up time

        add_arguments(inspect)
    inspect.set_defaults(run=_inspect)
    token = commands.add_parser("token", help="make a token, and the line that stands for it in a --token-file", description=_TOKEN)
    token.add_argument("name", nargs="?", default="", metavar="NAME", help="whose it is; it starts the line")
    token.add_argument("--of", metavar="FILE", help="the line of the token in FILE ('-': standard input), in place of a new one")
    token.set_defaults(run=_token)
    policy = commands.add_parser("policy", help="check a callers file: who may do what", description=_POLICY)
    if "policy" in chosen:
        from bridge.callers.check import add_arguments as declare_policy  # start-up time

        declare_policy(policy)
    policy.set_defaults(run=_policy)
    audit = commands.add_parser("audit", help="read what `serve --audit` wrote down of calls")
    if "audit" in chosen:
        from bridge.callers.audit_reader import add_arguments as declare_audit  # start-up time

        declare_audit(audit)
    audit.set_defaults(run=_audit)
    completion = commands.add_parser("completion", help="print what makes a shell complete our commands, options and MCPs")
    if "completion" in chosen:
        from bridge.completion import add_arguments as declare_completion  # start-up time

        declare_completion(completion)
    completion.set_defaults(run=_completion)
    for name, help in FLEET.items():
        command = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        if name in chosen:
            from bridge.fleet.commands import add_arguments as declare  # start-up time

            declare(name, command)
    return parser


class _OneLine(argparse.ArgumentParser):
    """Takes options as they are written in full, and says what is wrong in one line, without the usage before it."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        print(f"mcp-bridge: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _serve(arguments: argparse.Namespace, command: list[str]) -> int:
    from bridge.serve import serve  # start-up time: `inspect` and `up` need nothing of it

    return serve(settings.read(arguments), command)


def _token(arguments: argparse.Namespace, command: list[str]) -> int:
    from bridge.callers.tokens import write_line  # start-up time

    return write_line(arguments.name, arguments.of)


def _policy(arguments: argparse.Namespace, command: list[str]) -> int:
    from bridge.callers.check import run  # start-up time

    return run(arguments)


def _audit(arguments: argparse.Namespace, command: list[str]) -> int:
    if arguments.files:
        from bridge.callers.audit_reader import run  # start-up time
    else:
        from bridge.fleet.commands.audit import run  # start-up time

    return run(arguments)


def _completion(arguments: argparse.Namespace, command: list[str]) -> int:
    from bridge.completion import run  # start-up time

    return run(arguments, lambda: _parser(("serve", "inspect", "policy", "audit", "completion", *FLEET)))


def _inspect(arguments: argparse.Namespace, command: list[str]) -> int:
    from bridge.inspect import run  # start-up time: the MCP SDK takes half a second

    return run(arguments, command)
