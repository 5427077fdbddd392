"""`mcp-bridge add`: what it takes, and what became of each MCP, for people. The work is done in bridge/fleet/adding/add.py."""

import argparse
import json
import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from bridge.fleet.adding import secret_values
from bridge.fleet.adding.add import Added, Adding, name_of
from bridge.fleet.adding.launchers import OF_A_PACKAGE
from bridge.fleet.adding.registry import client, document, mcpb
from bridge.fleet.adding.sources import SOURCES, Asked
from bridge.fleet.adding.trial import attempt
from bridge.fleet.adding.wrapped import program_of
from bridge.fleet.commands.common import asked
from bridge.fleet.project import Project
from bridge.settings import UsageError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "mcp-bridge add [options] [NAME] SOURCE [-- COMMAND ARGS… | -- ARGS…]\n       mcp-bridge add [NAME] -- npx|uvx|docker ARGS…\n"
        "       mcp-bridge add --from FILE\n       mcp-bridge add io.github.OWNER/SERVER[@VERSION]"
    )
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help="what it is called everywhere: lower-case letters, digits and '-' (default: as its package is)",
    )
    parser.add_argument("--pypi", metavar="PKG[==V]", help="a package of PyPI (the newest, and pinned)")
    parser.add_argument("--npm", metavar="PKG[@V]", help="a package of npm (the newest, and pinned)")
    parser.add_argument("--binary", metavar="URL", help="an executable, or an archive with one; {arch} stands for amd64 and arm64")
    parser.add_argument("--image", metavar="REF", help="an existing image with a stdio server in it")
    parser.add_argument("--command", metavar="LINE", help="a command of the base image (Debian packages: `apt` in the stanza)")
    parser.add_argument("--url", help="a remote MCP")
    parser.add_argument("--transport", choices=("http", "sse"), help="of --url (default: sse if it ends in /sse)")
    parser.add_argument("--token-env", metavar="VARIABLE", help="of --url: the variable of compose/.env that has its bearer token")
    parser.add_argument(
        "--from",
        dest="file",
        metavar="FILE",
        help="an MCP bundle (.mcpb), a server.json, or all servers of another client's file: mcpServers, VS Code, Zed, Codex, … (docs/adding-an-mcp.md)",
    )
    parser.add_argument(
        "--registry",
        default="",
        metavar="URL",
        help="of io.github.OWNER/SERVER: which registry says what it is (default: the official one)",
    )
    parser.add_argument(
        "--as", dest="called", default="", metavar="NAME", help="of io.github.OWNER/SERVER, server.json and bundles: what it is called here"
    )
    parser.add_argument("--strict", action="store_true", help="of --from: add nothing if an entry cannot be read")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable of the server; one that looks like a secret becomes one",
    )
    parser.add_argument("--path", default="", help="of --binary: where the executable is in the archive")
    parser.add_argument(
        "--secrets", action="store_true", help="also write the values of secrets to compose/.env (to compose/secrets/ what is no line)"
    )
    parser.add_argument(
        "--build",
        action="store_true",
        help="also take what does not come built (no wheel, native add-ons of npm): building it runs its code",
    )
    parser.add_argument(
        "--here", action="store_true", help="where there is no Docker: try it (and build it) on this machine, as you, without being asked"
    )
    parser.add_argument("--no-trial", action="store_true", help="do not start the server once to see its tools")


def run(arguments: argparse.Namespace, command: list[str]) -> int:
    project = Project.find(arguments.project)
    given = [name for name in SOURCES if getattr(arguments, name)]
    here = arguments.here or _may_run_here(project, arguments)
    adding = Adding(project, not arguments.no_trial, here, arguments.secrets)
    published = _published(Path(arguments.file)) if arguments.file else None
    variables = dict(text.partition("=")[::2] for text in arguments.env)
    _refuse_address(arguments.name)
    if ("/" in arguments.name and not arguments.name.startswith("@")) or published is not None:
        if given or command or (arguments.name and arguments.file):
            raise UsageError("what is published says it all: leave the sources and the command out")
        described = published if published is not None else client.described(arguments.name, arguments.registry)
        every = [adding.published(described, arguments.called)]
    elif arguments.file:
        if given or arguments.name or command:
            raise UsageError("--from FILE says it all: leave the name and the sources out")
        every = adding.all_of(Path(arguments.file), arguments.strict)
    elif not given and command and program_of(command[0]) in OF_A_PACKAGE:
        every = [adding.as_started(arguments.name, command, variables)]
    else:
        _check_source(arguments.name, given, command)
        kind = given[0] if given else "command"
        value = getattr(arguments, kind) if given else ""
        name, transport, token = arguments.name or name_of(value, project), arguments.transport or "", arguments.token_env or ""
        wanted = Asked(name, value, tuple(command), arguments.build, transport, token, arguments.path)
        every = [adding.one(kind, wanted, variables)]
    for added in every:
        print(summary(project, added, arguments.secrets))
    return 0 if any(added.path for added in every) else 1


def _refuse_address(name: str) -> None:
    """Raises UsageError for an address in the place of a name, with what was meant."""
    if found := re.match(r"(?:git\+)?(?:https?|ssh)://(?:www\.)?([^/@]+@)?(?P<host>[^/:]+)|git@(?P<git>[^:]+):", name):
        if (
            found["git"]
            or re.search(r"\b(?:github|gitlab|bitbucket|codeberg|gitea|git)\b", found["host"])
            or name.startswith(("git+", "ssh:"))
        ):
            raise UsageError(
                f"{name}: where source code lies: name the package that comes of it (--npm, --pypi), its image (--image) or a program of its releases (--binary)"
            )
        raise UsageError(f"{name}: a server that runs there? `mcp-bridge add NAME --url {shlex.quote(name)}` adds that")


def _check_source(name: str, given: list[str], command: list[str]) -> None:
    """One source, and a name where the source has none. Raises UsageError with the command that was meant."""
    options = ", ".join("--" + name for name in SOURCES)
    if len(given) > 1:
        raise UsageError(f"{' and '.join('--' + name for name in given)}: give one of {options}")
    if given or command:
        if not name and given not in (["npm"], ["pypi"]):
            raise UsageError(f"what is it called? mcp-bridge add NAME {f'--{given[0]} …' if given else '-- ' + shlex.join(command)}")
        return
    if not name:
        raise UsageError(f"what is to be added? mcp-bridge add --npm PACKAGE, or another of {options}, --from")
    package = shlex.quote(name)
    from_npm = f"mcp-bridge add --npm {package}"
    if name.startswith("@"):
        raise UsageError(f"{name}: a package of npm? `{from_npm}` adds that")
    raise UsageError(
        f"{name}: where from? `{from_npm}` or `mcp-bridge add --pypi {package}`: both may have one of that name, by different people. (Others: {options})"
    )


def _may_run_here(project: Project, arguments: argparse.Namespace) -> bool:
    """Asked, where code of strangers would run with nothing around it."""
    if arguments.url or (arguments.no_trial and not arguments.build) or attempt.place(project, False):
        return False
    return asked("No Docker answers here: what is added is tried on this machine, as you, with nothing around it. Do that? [y/N] ")


def _published(path: Path) -> dict[str, Any] | mcpb.Bundle | None:
    """What its publisher says, where it is a bundle or a server.json. Raises UsageError."""
    if mcpb.is_bundle(path):
        return mcpb.read(path)
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return said if document.is_server(said) else None


def summary(project: Project, added: Added, keeps: bool) -> str:
    """What became of it, for people."""
    if added.path is None:
        return f"{added.name}: not added: {'; '.join(added.notes)}"
    lines = [f"{added.name}: {added.path.relative_to(project.root)}" + (f", {added.tools} tools" if added.tools is not None else "")]
    lines += [f"  {note}" for note in added.notes]
    if keeps:
        lines += [f"  {name}: its value is in {secret_values.place(name, value)}" for name, value in added.secrets.items()]
    elif added.secrets:
        values, files = _apart(added.secrets, added.files)
        lines += [f"  {', '.join(values)}: found, but not kept: write it to compose/.env (--secrets does that)"] if values else []
        lines += (
            [f"  {', '.join(files)}: found, but not kept: copy it to compose/secrets/ under that name (--secrets does that)"]
            if files
            else []
        )
    values, files = _apart([name for name in added.missing if name not in added.secrets], added.files)
    lines += [f"  compose/.env must say {', '.join(values)}"] if values else []
    lines += [f"  compose/secrets/ must have a file of that name: {', '.join(files)}"] if files else []
    return "\n".join(lines)


def _apart(names: Iterable[str], files: Collection[str]) -> tuple[list[str], list[str]]:
    """What a line of compose/.env says, and what is a file."""
    return [name for name in names if name not in files], [name for name in names if name in files]
