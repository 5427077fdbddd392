"""What to serve, and to whom: read when the bridge starts, and again at each reload."""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bridge import log
from bridge.callers.credentials import Credentials
from bridge.callers.keys import Keys
from bridge.callers.tokens import Tokens
from bridge.child.environment import BadEnvironment, compose
from bridge.child.process import Command
from bridge.group.plan import Plan
from bridge.http import prefix
from bridge.http.proxies import Proxies
from bridge.oauth.audiences import NAME, Audiences
from bridge.oauth.claims import INSUFFICIENT_SCOPE, CallerOf, Claims, Rejected, subject
from bridge.settings import Settings, UsageError

if TYPE_CHECKING:
    from bridge.oauth.resource import ResourceServer

LAUNCHERS = ("npx", "uvx", "uv", "bunx", "pnpm", "yarn", "python", "python3", "node", "deno", "sh", "bash", "env", "docker")

Planned = dict[str, tuple[Command, Settings]]


@dataclass(frozen=True)
class Configuration:
    """The MCPs by name, and the groups of them, the tokens of clients, and those of admins."""

    mcps: Planned
    groups: Mapping[str, Plan]
    absent: Mapping[str, str]  # what the file names and is not served, and why
    tokens: Tokens | None
    admins: Tokens | None


def read(settings: Settings, argv: list[str], served: Collection[str] = ()) -> Configuration:
    """`served` are the names of now. Raises UsageError."""
    Proxies(settings.trusted_proxy)
    mcps, groups, absent = _mcps(settings, argv, served)
    configuration = Configuration(mcps, groups, absent, _keys(settings), _tokens(settings.admin_token_file))
    has_jwts = bool(settings.oidc_issuer or settings.jwks)
    if configuration.tokens is None and not has_jwts and any(settings.isolation == "principal" for _, settings in mcps.values()):
        raise UsageError("--isolation principal needs --token-file, --callers or --oidc-issuer: without tokens there are no principals")
    for name, (_, its) in mcps.items():
        _check_caller_secrets(name, its, has_keys=has_jwts or configuration.tokens is not None)
    if not settings.config and any(NAME in audience for audience in settings.audience):
        raise UsageError(f"--audience with {NAME} is for several MCPs (--config): write the name of this one")
    if ambiguous := Audiences(settings.audience, bool(settings.config)).ambiguous(mcps):
        raise UsageError(
            f"--audience {ambiguous} would be good for all MCPs: write {ambiguous.rstrip('/')}/mcp for that one, or {{mcp}} in place of its name"
        )
    if not has_jwts and isinstance(configuration.tokens, Keys) and configuration.tokens.callers.have_claims:
        raise UsageError(f"{settings.callers}: a caller with jwt needs --oidc-issuer URL (or --jwks): nobody could be it")
    if settings.admin_api and isinstance(configuration.tokens, Keys) and configuration.tokens.callers.everybody.is_admin:
        raise UsageError(f"{settings.callers}: with --admin-api everybody could run any program here: the default must not be admin of */*")
    return configuration


def _check_caller_secrets(name: str, settings: Settings, has_keys: bool) -> None:
    """Raises UsageError."""
    if not settings.caller_secret:
        return
    if settings.isolation != "auto":
        raise UsageError(f"{name}: --caller-secret and --isolation {settings.isolation}: a caller's own value needs a child of its own")
    Credentials(settings.caller_secret, False, b"x")
    places = {source.partition("=")[2].lower() for source in settings.caller_secret}
    if has_keys and places & {"header:authorization", "header:x-api-key"}:
        raise UsageError(f"{name}: --caller-secret: Authorization and X-API-Key say who calls: take another header for the value")


def resource_server(settings: Settings, tokens: Tokens | None) -> "ResourceServer | None":
    """Who knows JWTs, where they are good for anything. Made once: its keys are renewed by themselves. Raises UsageError."""
    if not (settings.oidc_issuer or settings.jwks):
        if settings.audience or settings.required_scope:
            raise UsageError("--audience and --required-scope say what must hold of JWTs: whose? (--oidc-issuer URL, or --jwks URL|FILE)")
        return None
    from bridge.oauth.resource import open_resource_server  # start-up time: cryptography, only for those who use it

    base_of = partial(prefix.base, settings.public_url, settings.root_path, "https" if settings.tls_cert else "http")
    return open_resource_server(settings, log.Log(), base_of, caller_of(tokens))


def caller_of(tokens: Tokens | None) -> CallerOf:
    """Who is meant by the claims of a JWT: a caller of the file, or its own subject where everybody may come in."""
    if not isinstance(tokens, Keys):
        return subject
    callers = tokens.callers

    def named(claims: Claims) -> str | Rejected:
        caller = callers.of_claims(claims)
        if caller is not None:
            return caller.name
        if callers.everybody.may_anything:
            return subject(claims)
        return Rejected(INSUFFICIENT_SCOPE, "the claims of the token are those of no caller here", callers.scopes)

    return named


def _mcps(settings: Settings, argv: list[str], served: Collection[str]) -> tuple[Planned, Mapping[str, Plan], Mapping[str, str]]:
    if settings.config:
        if argv:
            raise UsageError("give either --config FILE or -- COMMAND, not both")
        from bridge import config  # start-up time: only for those who use it
        from bridge.clients import document as documents  # as above

        document = documents.read(settings.config)
        mcps, absent = config.plan_all(settings, document, served)
        return mcps, config.groups(document, mcps), absent
    if not argv:
        raise UsageError("no command: mcp-bridge serve [options] -- COMMAND ARGS…")
    try:
        environment = compose(settings.env, settings.env_file, secrets=settings.secret, copies=settings.secret_copy)
    except (BadEnvironment, OSError) as error:
        raise UsageError(str(error)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{settings.env_file}: {error}") from None
    _check_command(argv[0], environment, settings.cwd)
    name = settings.name or _name_of(argv)
    return {name: (Command(tuple(argv), environment, settings.cwd or None), settings)}, {}, {}


def _check_command(program: str, environment: Mapping[str, str], cwd: str) -> None:
    """Raises UsageError where there is no such command."""
    path = os.path.join(cwd, program) if cwd and os.sep in program else program
    if shutil.which(path, path=environment.get("PATH", os.defpath)) is None:
        raise UsageError(f"command not found: {program!r}: is it installed, and on PATH?")


def _name_of(argv: list[str]) -> str:
    """`npx -y @scope/server-everything` -> `server-everything`."""
    for word in argv:
        base = (
            word.rstrip("/").rpartition("/")[2].partition("@")[0] if not word.startswith("@") else word.rpartition("/")[2].partition("@")[0]
        )
        base = base.removesuffix(".py").removesuffix(".js")
        if base and not word.startswith("-") and base not in LAUNCHERS:
            return base
    return os.path.basename(argv[0])


def _keys(settings: Settings) -> Tokens | None:
    """The tokens, and what a callers file adds to them."""
    tokens = _tokens(settings.token_file)
    if not settings.callers:
        return tokens
    from bridge.callers.file import read  # start-up time: only for those who use it

    return Keys(read(settings.callers, tokens), tokens)


def _tokens(path: str) -> Tokens | None:
    if not path:
        return None
    tokens = Tokens.read(path)
    if tokens.exposed:
        log.Log().warning("tokens can be read by others", why=tokens.exposed)
    return tokens
