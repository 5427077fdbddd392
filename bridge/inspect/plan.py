"""The arguments, turned into a plan: which endpoints to try, with what in hand. Pure, but for reading the files of --token-file and --ca."""

import argparse
import json
import os
import shlex
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

ENDINGS = {"streamable-http": "/mcp", "sse": "/sse", "websocket": "/ws"}
SECURE = {"http": False, "ws": False, "https": True, "wss": True}


class BadUsage(Exception):
    """The arguments contradict each other or lead nowhere."""


@dataclass(frozen=True)
class Endpoint:
    """One transport and where it leads."""

    transport: str
    url: str = ""
    command: tuple[str, ...] = ()
    era: str = "auto"
    is_here: bool = False  # on this machine: nobody stands between

    @property
    def name(self) -> str:
        return f"{self.transport} ({self.era})" if self.era != "auto" else self.transport

    @property
    def target(self) -> str:
        return self.url or shlex.join(self.command)


@dataclass(frozen=True)
class Plan:
    endpoints: tuple[Endpoint, ...]
    headers: Mapping[str, str]
    environment: Mapping[str, str]
    cwd: str | None
    timeout: float
    call: tuple[str, dict[str, Any]] | None
    expect: str
    json: bool
    openai: bool
    trust: ssl.SSLContext | None = None  # for https; None for what everybody trusts


def read(arguments: argparse.Namespace, command: list[str]) -> Plan:
    if arguments.url and command:
        raise BadUsage("give a URL or a command after --, not both")
    if not arguments.url and not command:
        raise BadUsage("nothing to inspect: give a URL (http://127.0.0.1:8000), or a command after --")
    if arguments.call and arguments.openai:
        raise BadUsage("--call and --openai are two questions: ask one")
    if arguments.expect and not arguments.call:
        raise BadUsage("--expect is about the answer to a --call")
    if not arguments.timeout > 0:
        raise BadUsage(f"--timeout {arguments.timeout:g}: it must be more than 0 seconds")
    _refuse_what_does_not_apply(arguments, command)
    return Plan(
        endpoints=_in_eras(
            endpoints_of_command(command, arguments.cwd) if command else endpoints_of_url(arguments.url, arguments.transport), arguments.era
        ),
        headers=_headers(arguments.header, arguments.token_file),
        environment=_environment(arguments.env),
        cwd=arguments.cwd,
        timeout=arguments.timeout,
        call=_call(*arguments.call) if arguments.call else None,
        expect=arguments.expect,
        json=arguments.json,
        openai=arguments.openai,
        trust=_trust(arguments.ca) if arguments.ca else None,
    )


def endpoints_of_url(url: str, transport: str | None = None) -> tuple[Endpoint, ...]:
    """One endpoint where the URL or --transport names it, else every transport under that base."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it raises for a port that is no number
    except ValueError as problem:
        raise BadUsage(f"{url}: not a URL ({problem})") from None
    if parts.scheme not in SECURE or not parts.hostname:
        raise BadUsage(f"{url}: not a URL that can be inspected; it looks like http://host:8000 or ws://host:8000/ws")

    path = parts.path.rstrip("/")
    named = next((name for name, ending in ENDINGS.items() if path.endswith(ending)), None)
    if transport is None and parts.scheme in ("ws", "wss"):
        transport = "websocket"
    # A URL with a path and a forced transport is an endpoint: other servers have other paths than ours.
    if (kind := transport or named) and (named or path):
        return (_endpoint(kind, parts, parts.path),)
    return tuple(_endpoint(name, parts, path + ENDINGS[name]) for name in ([transport] if transport else ENDINGS))


def _in_eras(endpoints: tuple[Endpoint, ...], era: str) -> tuple[Endpoint, ...]:
    """The same endpoints in one era, or in both. HTTP+SSE and WebSocket know the handshake only."""
    if era == "auto":
        return endpoints
    legacy = tuple(replace(endpoint, era="legacy") for endpoint in endpoints) if era != "modern" else ()
    modern = (
        tuple(replace(endpoint, era="modern") for endpoint in endpoints if endpoint.transport in ("streamable-http", "stdio"))
        if era != "legacy"
        else ()
    )
    if not legacy + modern:
        raise BadUsage(f"--era {era}: only streamable-http and stdio know an era without a handshake")
    return tuple(endpoint for pair in zip_longest(legacy, modern) for endpoint in pair if endpoint)


def _endpoint(transport: str, parts: SplitResult, path: str) -> Endpoint:
    plain, secure = ("ws", "wss") if transport == "websocket" else ("http", "https")
    scheme = secure if SECURE[parts.scheme] else plain
    return Endpoint(transport, url=urlunsplit((scheme, parts.netloc, path, parts.query, "")))


def endpoints_of_command(command: list[str], cwd: str | None) -> tuple[Endpoint, ...]:
    if cwd and not Path(cwd).is_dir():
        raise BadUsage(f"--cwd {cwd}: there is no such directory")
    program = command[0]
    found = os.path.join(cwd or "", program) if "/" in program else program
    if shutil.which(found) is None:
        raise BadUsage(f"{program}: there is no such command; is it installed, and on PATH?")
    return (Endpoint("stdio", command=tuple(command)),)


def _refuse_what_does_not_apply(arguments: argparse.Namespace, command: list[str]) -> None:
    for_urls = {"--header": arguments.header, "--token-file": arguments.token_file, "--ca": arguments.ca}
    for_commands = {"--env": arguments.env, "--cwd": arguments.cwd}
    target = "a command" if command else "a URL"
    for flag, value in (for_urls if command else for_commands).items():
        if value:
            raise BadUsage(f"{flag} has no meaning for {target}")
    if arguments.transport and (arguments.transport == "stdio") != bool(command):
        raise BadUsage(f"--transport {arguments.transport} does not lead to {target}")


def _headers(named: list[str], token_file: str | None) -> dict[str, str]:
    headers = {}
    for header in named:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise BadUsage(f"--header {name}: it must be NAME:VALUE")
        headers[name.strip()] = value.strip()
    if token_file:
        headers["Authorization"] = f"Bearer {_token(token_file)}"
    return headers


def _token(file: str) -> str:
    try:
        lines = [line.split() for line in Path(file).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as problem:
        raise BadUsage(f"--token-file {file}: {getattr(problem, 'strerror', None) or 'not a text file'}") from None
    tokens = [words[-1] for line in lines if (words := list(takewhile(lambda word: not word.startswith("#"), line)))]
    first = next((token for token in tokens if not token.startswith("sha256:")), None)
    if first is None:
        why = "its lines hold hashes, and a server wants the token itself" if tokens else "there is no token in it"
        raise BadUsage(f"--token-file {file}: {why}")
    return first  # the file of `serve` has lines of TOKEN or NAME TOKEN, and comments


def _environment(named: list[str]) -> dict[str, str]:
    environment: dict[str, str] = {}
    for entry in named:
        if entry == "*":
            environment.update(os.environ)
            continue
        name, equals, value = entry.partition("=")
        if not equals and name not in os.environ:
            raise BadUsage(f"--env {name}: it is not set here; give it a value with --env {name}=VALUE")
        environment[name] = value if equals else os.environ[name]
    return environment


def _trust(file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a certificate of its own is enough
    try:
        context.load_verify_locations(file)
    except OSError as problem:  # ssl.SSLError is one
        raise BadUsage(
            f"--ca {file}: {problem.strerror if problem.filename is None and problem.errno == 2 else 'no certificate (PEM)'}"
        ) from None
    return context


def _call(tool: str, text: str) -> tuple[str, dict[str, Any]]:
    try:
        values = json.loads(text)
    except ValueError as problem:
        raise BadUsage(f"--call {tool}: the arguments are not JSON ({problem}); in a shell: '{{\"a\": 1}}'") from None
    if not isinstance(values, dict):
        raise BadUsage(f"--call {tool}: the arguments must be one JSON object, such as '{{\"a\": 1}}'")
    return tool, values
