"""Every option of `serve`, defined once: its flag, its environment variable, its default and its help.

A plain dataclass and argparse rather than pydantic-settings: importing pydantic costs the serving process 25 ms and
5 MB that nothing in it would use (measured, pydantic 2.14). Config files, which are not read on every start, are
checked by pydantic in `bridge/config.py`.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


class UsageError(Exception):
    """The command line, the environment or a file is wrong; the message is one line for the operator (exit code 2)."""


def option(
    default: Any,
    help: str,
    *,
    type: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] | None = None,
    repeat: bool = False,
    metavar: str | None = None,
    per_mcp: bool = False,
) -> Any:
    """One option. `per_mcp` options may also stand in an entry of a config file."""
    metavar = metavar or (_METAVARS.get(type) if type else None)
    meta = {"help": help, "type": type or default.__class__, "choices": choices, "repeat": repeat, "metavar": metavar, "per_mcp": per_mcp}
    if repeat:
        return field(default_factory=tuple, metadata=meta)
    return field(default=default, metadata=meta)


def size(text: str) -> int:
    """`8388608`, `8192k` or `8m` as bytes."""
    units = {"k": 1024, "m": MIB, "g": 1024 * MIB}
    number, unit = (text[:-1], units[text[-1].lower()]) if text[-1:].lower() in units else (text, 1)
    return whole(number) * unit


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise ValueError("seconds must be 0 or more")
    return value


def whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("must be 0 or more")
    return value


def port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError("a port is 0 to 65535")
    return value


def flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("use true or false")


_METAVARS: dict[Callable[[str], Any], str] = {seconds: "SECONDS", size: "BYTES", whole: "N", port: "PORT"}


@dataclass(frozen=True)
class Settings:
    """What an operator can say. Times are seconds, sizes are bytes; 0 means "no limit" where a limit is meant."""

    host: str = option("127.0.0.1", "address to bind")
    port: int = option(8000, "port to bind; 0 takes any free one and prints it", type=port)
    tls_cert: str = option(
        "", "speak https with this certificate (PEM, its issuers' behind it); read again when the file changes", metavar="FILE"
    )
    tls_key: str = option("", "the certificate's key (default: in the file of --tls-cert)", metavar="FILE")
    uds: str = option("", "listen on this Unix socket, and on no address", metavar="PATH")
    name: str = option("", "the MCP's name in logs, metrics and session ids (default: from the command)")
    config: str = option(
        "", "serve all MCPs of FILE, each at /NAME/mcp: mcpServers as JSON or YAML, or the file of another client", metavar="FILE"
    )
    strict: bool = option(False, "with --config: an entry that cannot be served, or an unknown field, ends the start", type=flag)

    profile: str = option(
        "strict",
        "strict: what the child says is what the client gets; litellm: no failure of a tool call ever looks like one to LiteLLM's client",
        choices=("strict", "litellm"),
        per_mcp=True,
    )
    isolation: str = option(
        "auto",
        "who shares a child: auto decides by the client's capabilities; session: nobody; principal: those with the same token",
        choices=("auto", "shared", "session", "principal"),
        per_mcp=True,
    )
    child_era: str = option(
        "auto",
        "which era the child speaks; auto: found out when a modern client comes, and remembered",
        choices=("auto", "legacy", "modern"),
        per_mcp=True,
    )
    client_roots: str = option(
        "auto",
        "whether a client's roots reach its own child; auto: only with --isolation session",
        choices=("auto", "relay", "withhold"),
        per_mcp=True,
    )
    max_in_flight: int = option(0, "calls a child gets at once; the others wait their turn (0: no limit)", type=whole, per_mcp=True)

    tool_allow: tuple[str, ...] = option(
        (), "show and serve only these tools, by the server's own names; '*' stands for anything", repeat=True, metavar="NAME", per_mcp=True
    )
    tool_deny: tuple[str, ...] = option((), "hide these tools, even if they are allowed", repeat=True, metavar="NAME", per_mcp=True)
    tool_rename: tuple[str, ...] = option((), "show the server's tool OLD as NEW", repeat=True, metavar="OLD=NEW", per_mcp=True)
    pin: str = option(
        "warn",
        "tools that are not as --pin-file has them approved: warn says so (log, metric, page), hide neither shows nor calls them, off",
        choices=("warn", "hide", "off"),
        per_mcp=True,
    )
    pin_file: str = option(
        "",
        "the tools that were approved (tools.lock.json, from `mcp-bridge approve`); read again when it changes",
        metavar="FILE",
        per_mcp=True,
    )
    max_session_requests: int = option(0, "calls of one session that a child gets at once (0: no limit)", type=whole, per_mcp=True)
    spares: int = option(0, "warm children kept ready for sessions that get their own", type=whole, per_mcp=True)
    max_children: int = option(64, "processes at once for sessions that have their own child, spares included", type=whole, per_mcp=True)
    child_wait: float = option(5.0, "how long a session waits for a child when --max-children are taken", type=seconds, per_mcp=True)
    replicas: int = option(
        1,
        "shared children of a server that keeps nothing: each call goes to the one with the least to do (modern clients may have as many again)",
        type=whole,
        per_mcp=True,
    )
    lazy: bool = option(False, "start the child at the first request that needs it", type=flag, per_mcp=True)
    idle_stop: float = option(
        0.0,
        "stop the child when nobody used it for so long (0: never); it is woken by the next request that needs it",
        type=seconds,
        per_mcp=True,
    )
    cache_dir: str = option("", "where to keep what is known of a sleeping child (default: in the user's cache directory)", metavar="DIR")
    recycle_calls: int = option(0, "replace the shared child after so many calls (0: never)", type=whole, per_mcp=True)
    recycle_age: float = option(0.0, "replace the shared child when it is so old (0: never)", type=seconds, per_mcp=True)
    recycle_memory: int = option(
        0, "replace the shared child when it takes more memory (0: never)", type=size, per_mcp=True, metavar="BYTES"
    )
    ping_interval: float = option(0.0, "ping an idle child that was silent for so long (0: never)", type=seconds, per_mcp=True)
    ping_misses: int = option(3, "pings in a row without an answer after which the child is restarted", type=whole, per_mcp=True)

    env: tuple[str, ...] = option(
        (),
        "NAME=VALUE for the child, NAME to pass one of ours through, or '*' for all but MCP_BRIDGE_*",
        repeat=True,
        metavar="NAME[=VALUE]",
    )
    env_file: str = option("", "NAME=VALUE lines for the child", metavar="FILE")
    secret: tuple[str, ...] = option(
        (), "the child's variable NAME gets what stands in FILE, read at the start and at each reload", repeat=True, metavar="NAME=FILE"
    )
    secret_copy: tuple[str, ...] = option(
        (),
        "the child's variable NAME is the path COPY, a file that the child may write anew: made of FILE where it is missing, and when FILE is another",
        repeat=True,
        metavar="NAME=FILE:COPY",
        per_mcp=True,
    )
    caller_secret: tuple[str, ...] = option(
        (),
        "the variable NAME is each caller's own: from a header, or from FOLDER, where the file CALLER has it; a child for each value",
        repeat=True,
        metavar="NAME=header:HEADER|FOLDER",
        per_mcp=True,
    )
    caller_secret_missing: str = option(
        "refuse",
        "what a caller without its value gets: its calls are refused, or fallback: the shared child with the values of --env and --secret",
        choices=("refuse", "fallback"),
        per_mcp=True,
    )
    egress: str = option(
        "",
        "let the child ask a proxy at this Unix socket, which it finds as http://127.0.0.1:3128 (HTTP_PROXY and the like are yours to set)",
        metavar="PATH",
    )
    cwd: str = option("", "the child's working directory", metavar="DIR", per_mcp=True)

    start_timeout: float = option(60.0, "a child's time from its start to its handshake", type=seconds, per_mcp=True)
    request_timeout: float = option(
        600.0, "a request's time; progress starts it again, and it stands still while the client is asked", type=seconds, per_mcp=True
    )
    request_timeout_max: float = option(3600.0, "a request's time whatever its progress", type=seconds, per_mcp=True)
    head_timeout: float = option(30.0, "a connection's time for the head of a request (0: no limit)", type=seconds)
    body_timeout: float = option(60.0, "a request's time for its body, whole (0: no limit)", type=seconds)
    write_timeout: float = option(
        60.0, "cut off a client that takes less than 16 KiB of what waits for it in so long (0: never)", type=seconds
    )
    session_idle: float = option(1800.0, "forget a session that nobody used for so long", type=seconds)
    max_sessions: int = option(10_000, "sessions at once", type=whole)
    max_streams: int = option(4096, "open SSE and WebSocket streams at once", type=whole)
    max_requests: int = option(1024, "requests in flight at once, waiting ones included", type=whole)
    memory: int = option(
        0,
        "what may wait, be read, sent or remembered, all in all (0: a quarter of the container's memory, 512 MiB without a limit)",
        type=size,
        metavar="BYTES",
    )
    max_body: int = option(8 * MIB - 1, "the longest request body; a child's line must stay below 8 MiB", type=size, metavar="BYTES")
    max_line: int = option(
        64 * MIB, "the longest line from a child; a longer one fails that call", type=size, metavar="BYTES", per_mcp=True
    )
    stream_buffer: int = option(4 * MIB, "what waits for one slow reader before its stream is closed", type=size, metavar="BYTES")
    replay_buffer: int = option(64 * MIB, "what is kept of all streams for Last-Event-ID", type=size, metavar="BYTES")
    keepalive: float = option(15.0, "a comment on every stream that was silent for so long", type=seconds)
    drain_timeout: float = option(5.0, "after SIGTERM, the time that requests in flight still have", type=seconds)

    max_restarts: int = option(
        5, "starts in a row that may fail, or end in a crash before any use, before the child is FATAL", type=whole, per_mcp=True
    )
    backoff_initial: float = option(0.5, "the pause before the first restart; it doubles", type=seconds, per_mcp=True)
    backoff_max: float = option(30.0, "the longest pause before a restart", type=seconds, per_mcp=True)
    exit_on_fatal: bool = option(False, "exit with code 1 when the child (every child, with --config) is FATAL", type=flag)

    session_key_file: str = option(
        "", "key of the session ids, made if missing; share it between replicas (default: in the user's state directory)", metavar="FILE"
    )
    token_file: str = option("", "bearer tokens, one a line ('TOKEN' or 'NAME TOKEN'); without a file nobody is asked", metavar="FILE")
    callers: str = option(
        "", "who may call what, how often and with which keys: YAML or JSON, read again at each reload (docs/callers.md)", metavar="FILE"
    )
    oidc_issuer: str = option(
        "", "let in who has a JWT of this OpenID Connect or OAuth 2.1 issuer, whose keys it publishes (needs --audience)", metavar="URL"
    )
    jwks: str = option("", "the keys that JWTs are signed with, where the issuer does not publish them", metavar="URL|FILE")
    audience: tuple[str, ...] = option(
        (),
        "whom JWTs must be for: this bridge, as the issuer writes it (https://HOST/mcp; of several MCPs https://HOST/{mcp}/mcp)",
        repeat=True,
        metavar="NAME",
    )
    required_scope: tuple[str, ...] = option((), "a scope that JWTs must have", repeat=True, metavar="SCOPE")
    jwt_algorithm: tuple[str, ...] = option(
        (), "accept only JWTs signed so (default: all that use public keys)", repeat=True, metavar="ALG"
    )
    jwt_leeway: float = option(30.0, "how far the issuer's clock may be from ours", type=seconds)
    public_url: str = option(
        "", "the address that clients have for '/', where proxies do not say it (X-Forwarded-Proto, -Host, -Prefix)", metavar="URL"
    )
    audit: str = option(
        "", "write down each call as a line of JSON, to FILE or '-' for standard output (mcp-bridge audit reads it)", metavar="FILE"
    )
    audit_size: int = option(100 * MIB, "begin a new file when the audit would be longer (0: never)", type=size, metavar="BYTES")
    audit_files: int = option(10, "how many files of the audit before it are kept (FILE.1 is the newest)", type=whole)
    audit_arguments: bool = option(False, "with the arguments of calls, without what looks like a secret", type=flag)
    audit_required: bool = option(False, "refuse calls while they cannot be written down", type=flag)
    admin_token_file: str = option(
        "", "tokens of admins, who may reload and see everything (/-/…, which is off without them)", metavar="FILE"
    )
    admin_api: bool = option(
        False, "with --config: let admins add and remove servers over HTTP (/-/servers), and so run any program here", type=flag
    )
    allowed_host: tuple[str, ...] = option(
        (), "a Host that clients may use, beside this machine's own; '*' for any", repeat=True, metavar="HOST"
    )
    allowed_origin: tuple[str, ...] = option(
        (), "a web page's Origin that may call us (enables CORS for it)", repeat=True, metavar="ORIGIN"
    )
    trusted_proxy: tuple[str, ...] = option(
        (),
        "whose X-Forwarded-For, -Proto, -Host and -Prefix count: an address, a network (10.0.0.0/8), or unix for those who come by --uds",
        repeat=True,
        metavar="ADDRESS",
    )
    root_path: str = option("", "the path that a reverse proxy strips, if it does not say so itself (X-Forwarded-Prefix)", metavar="PREFIX")
    log_format: str = option("human", "how log lines look", choices=("human", "json"))
    log_level: str = option("info", "what is logged", choices=("debug", "info", "warning", "error"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one flag per field of `Settings`; its environment variable stands in the help."""
    for item in fields(Settings):
        meta, name = item.metadata, item.name.replace("_", "-")
        default = "" if meta["repeat"] or item.default in ("", False) else f", default {item.default}"
        more = "; repeat it for more" if meta["repeat"] else ""
        kwargs: dict[str, Any] = {
            "dest": item.name,
            "default": argparse.SUPPRESS,
            "help": f"{meta['help']}{more} [{variable(item.name)}{default}]".replace("%", "%%"),
        }
        if meta["type"] is flag:
            parser.add_argument(f"--{name}", action="store_true", **kwargs)
        elif meta["repeat"]:
            parser.add_argument(f"--{name}", action="append", metavar=meta["metavar"], **kwargs)
        else:
            parser.add_argument(f"--{name}", type=meta["type"], choices=meta["choices"], metavar=meta["metavar"], **kwargs)


def variable(name: str) -> str:
    return f"MCP_BRIDGE_{name.upper()}"


def read(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, else from MCP_BRIDGE_* variables, else the defaults.

    Repeatable options are separated by commas in their variable, or by newlines. Raises UsageError.
    """
    values: dict[str, Any] = {}
    for item in fields(Settings):
        if hasattr(arguments, item.name):
            value = getattr(arguments, item.name)
            values[item.name] = tuple(value) if item.metadata["repeat"] else value
        elif text := environment.get(variable(item.name)):
            values[item.name] = _from_text(item, text)
    settings = Settings(**values)
    _check(settings)
    return settings


def _from_text(item: Field[Any], text: str) -> Any:
    meta = item.metadata
    if meta["repeat"]:
        return tuple(part.strip() for part in text.split("\n" if "\n" in text else ",") if part.strip())
    try:
        value = meta["type"](text)
    except ValueError as error:
        raise UsageError(f"{variable(item.name)}={text!r}: {error}") from None
    if meta["choices"] and value not in meta["choices"]:
        raise UsageError(f"{variable(item.name)}={text!r}: choose from {', '.join(meta['choices'])}")
    return value


def check_tools(settings: Settings) -> None:
    """Raises UsageError where the tool options contradict each other."""
    if settings.tool_allow or settings.tool_deny or settings.tool_rename:
        from bridge.protocol.tools import BadNames, Tools  # start-up time: only for those who use it

        try:
            Tools(settings.tool_allow, settings.tool_deny, settings.tool_rename)
        except BadNames as error:
            raise UsageError(str(error)) from None


def check_replicas(settings: Settings) -> None:
    """Raises UsageError where replicas contradict what else is said."""
    if settings.replicas == 1:
        return
    if settings.replicas == 0:
        raise UsageError("--replicas 0: there would be nobody to ask; 1 is the usual")
    if settings.max_in_flight == 1:
        raise UsageError("--replicas and --max-in-flight 1: a server that must do one thing at a time must be alone, too")
    if settings.isolation in ("session", "principal") or settings.caller_secret:
        its = "--caller-secret" if settings.caller_secret else f"--isolation {settings.isolation}"
        raise UsageError(f"--replicas and {its}: replicas are shared by all, for a server that keeps nothing of anybody")


def _check(settings: Settings) -> None:
    check_tools(settings)
    check_replicas(settings)
    if settings.max_body >= 8 * MIB:
        raise UsageError("--max-body must be below 8 MiB (8388608): servers built on the TypeScript SDK exit on more than 10 MiB")
    if settings.admin_api and not settings.config:
        raise UsageError("--admin-api adds servers to the file of --config, and there is none")
    if settings.admin_api and not (settings.admin_token_file or settings.callers):
        raise UsageError("--admin-api needs --admin-token-file FILE, or --callers with an admin: it is for nobody else")
    if settings.tls_key and not settings.tls_cert:
        raise UsageError("--tls-key is the key of a certificate: which one? (--tls-cert FILE)")
    if settings.root_path and not settings.root_path.startswith("/"):
        raise UsageError(f"--root-path {settings.root_path!r} must start with '/'")
    for name in ("env_file", "token_file", "callers", "admin_token_file", "config"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise UsageError(f"--{name.replace('_', '-')}: no such file: {path}")
    if settings.cwd and not Path(settings.cwd).is_dir():
        raise UsageError(f"--cwd: no such directory: {settings.cwd}")
